"""How a pod's state, the API server's refusal or a reported error is to be read: alive, held up, or
ended and on whose account.

The pod's `DisruptionTarget` condition is asked first, then its own reason, then the exit code of
the call's container: what the cluster did must never burn the retries of the app. Of other
containers only those count that keep the call's from starting. `plan.call.attempts` acts on the
answer; nothing here looks at budgets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from application_sdk.wire import pod as exits
from application_sdk.wire import reasons
from application_sdk.wire.containers import IMAGE_REASONS, INIT_CONTAINER_FAILED, SCHEDULING_GATED, Blocker
from application_sdk.wire.fields import ErrorFields, StallReason
from application_sdk.wire.reasons import NO_CONTACT
from apprun_operator.observe.pods import PodRecord, Rejection
from apprun_operator.plan.limits import DELETION_SLACK, IMAGE_GRACE, WAITING_GRACE, Limits

Budget: TypeAlias = Literal["App", "Disruption", "None"]

NODE_LOST: Final = "DeletionByTaintManager"

CLUSTER_REASONS: Final = {
    "Evicted": "the node was short of resources and evicted the pod",
    "NodeLost": "the node stopped answering",
    "NodeShutdown": "the node was shut down",
    "Shutdown": "the node was shut down",
    "Terminated": "the node was shut down",
    "Preempting": "a pod of higher priority took its place",
    "NodeAffinity": "the node's labels changed before the pod could start",
    "OutOfcpu": "the node had no CPU left when the pod arrived",
    "OutOfmemory": "the node had no memory left when the pod arrived",
    "OutOfpods": "the node had no place left when the pod arrived",
    "UnexpectedAdmissionError": "the node couldn't admit the pod",
}
DISRUPTIONS: Final = {
    NODE_LOST: ("NodeLost", "the node stopped answering"),
    "EvictionByEvictionAPI": ("Evicted", "the pod was evicted, as a drain does"),
    "PreemptionByScheduler": ("Preempted", "a pod of higher priority took its place"),
    "TerminationByKubelet": ("TerminatedByNode", "the node ended the pod"),
    "DeletionByPodGC": ("NodeLost", "the pod's node is gone"),
}
CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
MISSING_SOURCE: Final = re.compile(r'(?:secret|configmap) "[^"]*" not found|couldn\'t find key')
"""How the kubelet says that an environment variable's Secret, ConfigMap or key isn't there."""
PERMANENT_IMAGE_REASONS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
NOT_FOUND_WORDS: Final = (
    "not found",
    "notfound",
    "does not exist",
    "manifest unknown",
    "denied",
    "unauthorized",
    "forbidden",
)
START_REASONS: Final = frozenset({"StartError", "ContainerCannotRun"})
"""Of a container that ended before its first instruction: no such program in the image, for
example."""
SDK_MISSING: Final = re.compile(r"No module named '?application_sdk\b")
LAST_TRACE_LINE: Final = re.compile(r'^ *File "[^"]*", line \d+ in ', re.MULTILINE)
"""As `faulthandler` writes it, which is how the heartbeat's watchdog ends a process. Tracebacks
have a comma there."""
OVER_ITS_LIMIT: Final = re.compile(r"exceeds the (total )?limit|exceeded its local ephemeral storage limit")
OVER_LIMIT_OF_TMP: Final = re.compile(r'EmptyDir volume "tmp" exceeds')

UNSCHEDULABLE: Final = "Unschedulable"
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
NOT_STARTED: Final = "ContainerNotStarted"
SDK_NOT_FOUND: Final = "SdkNotFound"
FAULTS_OF_THE_SURROUNDINGS: Final = frozenset({NOT_STARTED, SDK_NOT_FOUND, NO_CONTACT})
"""Ends that a further attempt of a driver would only repeat: a person has to correct the App, or
the namespace."""

LOST_REASONS: Final = frozenset({"Unknown", "ContainerStatusUnknown"})
CLUSTER_EXIT: Final = 255
"""With reason `Unknown`: containerd came back from a reboot and knows nothing of the container."""


@dataclass(frozen=True, slots=True)
class PodHealthy:
    """Nothing to do; look again at `wake_at`, if ever."""

    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class PodBlocked:
    """It can't start for now. `permanent` says that waiting is unlikely to help: a task fails, a
    run stalls."""

    reason: str
    message: str
    since: float
    permanent: bool = False
    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class PodEnded:
    """The attempt is over without a result."""

    reason: str
    message: str
    budget: Budget
    retryable: bool = True
    exit_code: int | None = None
    error: ErrorFields | None = None
    """The attempt's own words, when it reported."""
    stall: StallReason | None = None
    pause: float = 0.0
    """Seconds until the next attempt may start, where nobody is charged for this one."""


Reading: TypeAlias = PodHealthy | PodBlocked | PodEnded


def of_report(error: ErrorFields, non_retryable: list[str]) -> PodEnded:
    """What the attempt itself said."""
    permanent = error.get("retryable") is False or error["type"] in non_retryable
    stall = error.get("stall")
    return PodEnded(
        reason=stall or error["type"],
        message=error["message"],
        budget="None" if stall else "App",
        retryable=not permanent,
        error=error,
        stall=stall,
    )


def of_pod(pod: PodRecord, now: float, limits: Limits) -> Reading:
    """What the pod of the current attempt tells, when the attempt itself has said nothing."""
    # guard: lost-node - the pod on a lost node can't report its end, and fencing makes a second
    # attempt safe
    if pod.disruption == NODE_LOST:
        # The pod may stay Terminating forever; the fence keeps a zombie from reporting, so nobody
        # has to wait for it.
        return _disrupted(pod)
    if pod.ended:
        return _ended(pod)
    if pod.deletion_at is not None:
        released_at = pod.deletion_at + DELETION_SLACK
        return _ended(pod) if now >= released_at else PodHealthy(released_at)
    # guard: running-despite-sidecar - the image of an injected sidecar may be missing while the
    # call is at work
    if pod.phase == "Pending" and not pod.running:
        return _pending(pod, now, limits)
    return PodHealthy()


def is_stopped(pod: PodRecord, now: float) -> bool:
    """Whether nothing has to wait for this pod any more: it ended, its node is lost, or its grace
    period is over."""
    overdue = pod.deletion_at is not None and now >= pod.deletion_at + DELETION_SLACK
    return pod.ended or overdue or pod.disruption == NODE_LOST


def of_rejection(rejection: Rejection, now: float, limits: Limits) -> PodBlocked:
    """What it means that the API server won't create the pod."""
    # An account may come after the run, as a Secret may: both are often applied by somebody else.
    late = rejection.kind == "NoAccount" and now - rejection.since > limits.pending_timeout
    permanent = late or rejection.kind in ("Forbidden", "Invalid", "NameTaken")
    reasons = {
        "Quota": "QuotaExceeded",
        "Forbidden": "PodForbidden",
        "Invalid": "PodInvalid",
        "NoAccount": "ServiceAccountNotFound",
        "NotAllowed": "OperatorNotAllowed",
        "NameTaken": "PodNameTaken",
        "Terminating": "PodTerminating",
        "Webhook": "AdmissionUnavailable",
    }
    return PodBlocked(reasons[rejection.kind], rejection.message, rejection.since, permanent, rejection.retry_at)


def _disrupted(pod: PodRecord) -> PodEnded:
    reason, words = DISRUPTIONS.get(pod.disruption, (pod.disruption, "the cluster ended the pod"))
    return PodEnded(reason, _sentence(words, pod.disruption_message), "Disruption", exit_code=pod.exit_code)


def _ended(pod: PodRecord) -> PodEnded | PodBlocked:
    """A pod that ended, vanished, or is past its deletion. The order of the questions is the point
    of this module."""
    if pod.reason == "Evicted" and OVER_ITS_LIMIT.search(pod.message):
        limit = "the namespace's limit of ephemeral storage"
        if OVER_LIMIT_OF_TMP.search(pod.message):
            limit = "the installation's limit, `tmpSizeLimit` of the chart"
        message = f"{pod.message.rstrip('. ')}: write less to /tmp, or raise {limit}"
        return PodEnded(reasons.STORAGE_LIMIT_EXCEEDED, message, "App", exit_code=pod.exit_code)
    # guard: disruption-budget - an eviction must not use up the attempts of the app
    if pod.disruption:
        return _disrupted(pod)
    # guard: queue-eviction-uncharged - a pod that Kueue takes back ends as if somebody had stopped it
    if pod.queue_eviction:
        message = _sentence("Kueue took the pod's place in the queue back", pod.queue_eviction)
        return PodEnded(reasons.EVICTED_BY_QUEUE, message, "Disruption", exit_code=pod.exit_code)
    if pod.reason in CLUSTER_REASONS:
        return PodEnded(
            pod.reason, _sentence(CLUSTER_REASONS[pod.reason], pod.message), "Disruption", exit_code=pod.exit_code
        )
    if pod.reason == "DeadlineExceeded":
        return PodEnded(reasons.TIMED_OUT, "the pod ran longer than its deadline", "App", exit_code=pod.exit_code)
    if pod.exit_reason == "OOMKilled":
        message = "the container used more memory than its limit: raise memory in @task, or in the App's spec.pod"
        return PodEnded(reasons.OOM_KILLED, message, "App", exit_code=pod.exit_code)
    if _rebooted(pod):
        return PodEnded(
            reasons.NODE_REBOOTED, "the node came back without the container", "Disruption", exit_code=pod.exit_code
        )
    if pod.blocker is not None and pod.deletion_at is None:
        return _blocked(pod.blocker, pod)
    # Kubelet calls the end of a container unknown too when the pod is deleted before it has begun.
    if pod.deletion_at is not None or (pod.gone and pod.exit_code is None):
        return PodEnded(
            reasons.POD_DELETED,
            "somebody deleted the pod before it could report",
            "Disruption",
            exit_code=pod.exit_code,
        )
    if pod.exit_reason == "ContainerStatusUnknown":
        return PodEnded(
            reasons.NODE_LOST, _sentence("the node lost track of the container", pod.exit_message), "Disruption"
        )
    if pod.exit_reason in START_REASONS:
        message = _sentence("the container couldn't start", pod.exit_message)
        return PodEnded(NOT_STARTED, message, "App", exit_code=pod.exit_code)
    return _exited(pod)


def _rebooted(pod: PodRecord) -> bool:
    """Whether the node came back while the call's container, or one before it, was at work."""
    ended = pod if pod.blocker is None else pod.blocker
    return ended.exit_code == CLUSTER_EXIT and ended.exit_reason in LOST_REASONS


def _blocked(blocker: Blocker, pod: PodRecord) -> PodEnded | PodBlocked:
    """A container of somebody else's keeps the call's from starting. No attempt of the app's can
    mend that."""
    message = f"{blocker.words}. The task didn't ask for it: whoever adds it to pods has to correct it"
    if pod.gone:
        return PodEnded(INIT_CONTAINER_FAILED, message, "None")
    if blocker.exit_code is not None:
        message = f"{message}. Its log: kubectl logs {pod.meta.key.name} -c {blocker.name}"
    return PodBlocked(INIT_CONTAINER_FAILED, message, pod.pending_since)


def _exited(pod: PodRecord) -> PodEnded:
    """A process that ended by itself without a report."""
    if pod.exit_code == 0:
        message = "the process ended with exit code 0 and reported nothing: does the code call sys.exit or os._exit?"
        return PodEnded(reasons.NO_REPORT, message, "App", exit_code=0)
    if pod.exit_code == exits.EXIT_TERMINATED:
        message = "the process was asked to stop, and nobody says by whom"
        return PodEnded(reasons.TERMINATED, message, "Disruption", exit_code=pod.exit_code)
    if pod.exit_code == exits.EXIT_REPORT_REFUSED:
        message = _sentence("the API server takes no report of this attempt", _last_line(pod.exit_message))
        return PodEnded(reasons.REPORT_REFUSED, message, "App", retryable=False, exit_code=pod.exit_code)
    if pod.exit_code == exits.EXIT_NOT_ALLOWED:
        message = _sentence("the API server does not let the pod speak to it", _last_line(pod.exit_message))
        return PodEnded(NO_CONTACT, message, "Disruption", exit_code=pod.exit_code)
    if pod.exit_code == exits.EXIT_FENCED:
        message = _sentence("the API server refused what the pod wrote", _last_line(pod.exit_message))
        return PodEnded(reasons.REFUSED, message, "App", exit_code=pod.exit_code)
    if pod.exit_code == 1 and SDK_MISSING.search(pod.exit_message):
        message = f"image {pod.image!r} has no AppRun SDK: install it there, or name no image and use spec.source"
        return PodEnded(SDK_NOT_FOUND, message, "App", retryable=False, exit_code=1)
    if pod.exit_code == 1 and LAST_TRACE_LINE.search(pod.exit_message.rstrip().rpartition("\n")[2]):
        message = "no heartbeat within heartbeat_timeout_seconds, so the process ended itself"
        return PodEnded(reasons.HEARTBEAT_LOST, _sentence(message, pod.exit_message), "App", exit_code=1)
    if pod.exit_code is not None:
        what = f"the process ended with exit code {pod.exit_code} and reported nothing"
        if pod.exit_code > 128:
            what = f"the process was killed by signal {pod.exit_code - 128} and reported nothing"
        return PodEnded(
            reasons.PROCESS_DIED, _sentence(what, _last_line(pod.exit_message)), "App", exit_code=pod.exit_code
        )
    return PodEnded(
        pod.reason or reasons.POD_FAILED, pod.message or "the pod failed before its container started", "Disruption"
    )


def _pending(pod: PodRecord, now: float, limits: Limits) -> Reading:
    since = pod.pending_since
    # guard: gated-pod-waits - a scheduling gate is a queue, and its wait isn't a failure of the pod
    if pod.gates:
        queue = f" in the queue {pod.queue!r}" if pod.queue else ""
        message = (
            f"the pod is queued{queue}: its scheduling gates ({pod.gates}) are closed. Whoever set them opens them"
        )
        return PodBlocked(SCHEDULING_GATED, message, since)
    if pod.blocker is not None:
        return _blocked(pod.blocker, pod)
    if pod.waiting_reason in IMAGE_REASONS:
        permanent, wake_at = _image_is_missing(pod, now, since)
        message = f"image {pod.image!r} can't be pulled ({pod.waiting_reason}): {pod.waiting_message or 'no details'}"
        return PodBlocked(IMAGE_PULL_FAILED, message, since, permanent, wake_at)
    if pod.waiting_reason in CONFIG_REASONS:
        message, grace = f"the container can't start ({pod.waiting_reason}): {pod.waiting_message}", IMAGE_GRACE
        # guard: env-source-may-come - a Secret or ConfigMap is often applied after the run, by
        # somebody else
        if MISSING_SOURCE.search(pod.waiting_message):
            message += (
                ". An environment variable needs it: create it, and the pod starts by itself; or mark it optional"
            )
            grace = limits.pending_timeout
        return PodBlocked("ContainerNotStarted", message, since, now - since > grace, since + grace)
    if pod.unschedulable:
        expired = now - since > limits.pending_timeout
        wake_at = since + WAITING_GRACE if now < since + WAITING_GRACE else since + limits.pending_timeout
        return PodBlocked(UNSCHEDULABLE, f"no node takes the pod: {pod.unschedulable}", since, expired, wake_at)
    if now - since >= limits.pending_timeout:
        message = f"the pod hasn't started within {limits.pending_timeout:g} s"
        return PodEnded(
            reasons.NOT_STARTED, _sentence(message, pod.waiting_reason or "no node has reported on it"), "Disruption"
        )
    return PodHealthy(since + limits.pending_timeout)


def _image_is_missing(pod: PodRecord, now: float, since: float) -> tuple[bool, float | None]:
    """Whether no amount of waiting will bring the image, and otherwise when to ask again."""
    if pod.waiting_reason in PERMANENT_IMAGE_REASONS:
        return True, None
    if not any(words in pod.waiting_message.lower() for words in NOT_FOUND_WORDS):
        return False, None
    return now >= since + IMAGE_GRACE, since + IMAGE_GRACE


def _sentence(what: str, details: str) -> str:
    return f"{what}: {details}" if details else what


def _last_line(text: str) -> str:
    """The rest is in the AppTask's `status.log`."""
    return text.strip().rpartition("\n")[2].strip()
