"""The operator's settings and the times that decisions depend on. `settings` builds `Limits` once;
plans get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from application_sdk.wire.digest import JSONObject


@dataclass(frozen=True, slots=True)
class SpotNodes:
    """Nodes that the cloud may take back: how a pod that asks for `spot` gets onto them."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[JSONObject, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds."""

    runtime_image: str
    image_pull_policy: str = ""
    """For the runtime image and apps that don't say; Kubernetes' default when empty."""
    log_format: str = ""
    """How pods log, `text` or `json`; the SDK's default, JSON, when empty."""
    node_lost_grace: int = 60
    """How long pods stay on a node that stopped answering before they count as lost."""
    parallelism: int = 50
    disruption_budget: int = 20
    """How many disruptions by the cluster one task call may have before it fails."""
    pending_timeout: float = 3600.0
    """How long a pod may wait for a node or an image before its task fails."""
    max_pods: int = 0
    """How many task pods all runs may have at a time; 0 for any number. Drivers don't count: what
    waits for tasks is no reason for more of them to wait."""
    max_pods_per_namespace: int = 0
    max_pods_per_run: int = 0
    """Upper bound of a run's own parallelism; 0 for none."""
    tmp_size_limit: str = "10Gi"
    """How much a pod may keep in its /tmp, as a quantity of Kubernetes; any amount when empty."""
    spot: SpotNodes = field(default_factory=SpotNodes)
    inherited_labels: tuple[str, ...] = ()
    """Prefixes of the labels of an AppRun that its pods get as well."""
    run_as_user: int | None = 65532
    """User and group of pods that ask for none. None leaves the choice to the cluster."""
    own_account: tuple[str, str] | None = None
    """Namespace and name of the operator's service account, which no task may run as."""


TERMINATION_GRACE: Final = 30
"""Seconds between SIGTERM and SIGKILL."""
DELETION_SLACK: Final = 5.0
"""How long after the end of its grace a pod that is being deleted counts as ended, though nobody
says so."""
DEADLINE_SLACK: Final = 300
"""Kubernetes' deadline of a pod is this much above the task's own, which the pod keeps itself:
start and image pull come before the body."""
PARK_AFTER: Final = 60
"""Seconds without a result after which a driver leaves whose route only waits, if its App doesn't
say."""
APP_GRACE: Final = 2.0
"""How long an App may come after the run that names it: both are often applied together."""
IMAGE_GRACE: Final = 30.0
"""How long a task's pod may fail to get an image that the registry says it hasn't."""
HELD_POD_RETRY: Final = 30.0
"""A pod that can't start is replaced after this time, then after twice as long, and so on. Pull
secrets and injected containers are fixed when a pod is created, so only a new pod gets other
ones."""
FAILED_POD_RETRY: Final = 10.0
"""The same for a pod that failed before its container could start, since the kubelet doesn't retry
that."""
LAST_POD_RETRY: Final = 300.0
WAITING_GRACE: Final = 5.0
"""How long a pod may wait before its AppTask says so: a short wait isn't worth a write."""
WAITS_SETTLE: Final = 3.0
"""How much longer a run waits for other calls that are about to say so, before it sums them up."""
LONGEST_SETTLE: Final = 20.0
"""How long a call may wait before its run tells the reason, however many others begin to wait
meanwhile."""
SILENCE_BEFORE_ENSURE: Final = 20.0
"""How long a driver may be silent before the accounts and bindings of its namespace are ensured
again."""
ENSURE_AGAIN: Final = 30.0
"""How often that is done while it stays silent."""
SILENCE_BEFORE_TOLD: Final = 60.0
"""How long a driver may be silent before its run reports it."""
MOUNT_GRACE: Final = 3.0
"""How long a pod with volumes may take to start before the Events about it are read, and how soon
they are read again while there are none about a young pod."""
YOUNG: Final = 30.0
"""A pod is young for so many seconds after its creation."""
EVENT_POLL_SECONDS: Final = 20.0
"""How often the Events about any other pod are read again."""
EVENT_READS_AT_A_TIME: Final = 4
"""The Events of so many pods are read in one pass: what one pod of a run waits for, the others wait
for as well."""
UNPLACED_PODS: Final = 50
"""So many pods of a run may wait for a node. More would only stand before those of other runs in
the scheduler's queue, and an autoscaler adds nodes for these already."""
QUEUE_GRACE: Final = 10.0
"""How long a call may wait for its turn before its run says so in a write made for that alone."""
PROOF_OF_LIFE: Final = 10.0
"""A driver that has run for so long has overcome the cause of its stall."""
STALL_FIRST_RETRY: Final = 10.0
STALL_LAST_RETRY: Final = 300.0
CANCEL_GRACE: Final = 120.0
"""How long the route of a cancelled run may clean up, where neither run nor App says."""
