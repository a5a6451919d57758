"""The operator's settings.

`main` reads them once from the environment and passes them on as values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from application_sdk.wire import names
from application_sdk.wire.pod_rules import MAX_ID
from apprun_operator.plan.limits import Limits, SpotNodes
from apprun_operator.telemetry.label_limit import MAX_APPS

PREFIX: Final = "APPRUN_"
PULL_POLICIES: Final = ("", "Always", "IfNotPresent", "Never")


class SettingsError(Exception):
    """A setting is missing or wrong.

    The message names the variable, its value, and what to set it to.
    """


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Each is an environment variable `APPRUN_<NAME>`."""

    limits: Limits
    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty for all."""
    accounts_preinstalled: bool = False
    """Whether the chart, or a person, installs the service accounts and bindings of each namespace."""
    driver_role: str = names.DRIVER_SERVICE_ACCOUNT
    """ClusterRole that the drivers' service account is bound to; likewise the next two for tasks
    and handlers."""
    task_role: str = names.TASK_SERVICE_ACCOUNT
    handler_role: str = names.HANDLER_SERVICE_ACCOUNT
    port: int = 8080
    """TCP port of health and metrics."""
    log_level: str = "INFO"
    log_format: str = "text"
    """`text` for people, `json` for collectors."""
    workers: int = 8
    """How many runs are planned concurrently."""
    metrics_max_apps: int = MAX_APPS
    """How many apps have metrics of their own; all others share one label."""
    lease: tuple[str, str] | None = None
    """Namespace and name of the Lease that replicas compete for; None if this is the only replica."""
    identity: str = ""
    """This replica's name in the Lease and in Events: its pod's name."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: A variable is missing or has a value that can't be used.
    """
    image = environment.get(f"{PREFIX}RUNTIME_IMAGE", "")
    if not image:
        raise SettingsError(
            f"environment variable {PREFIX}RUNTIME_IMAGE is not set: set it to the image that runs apps which name none"
        )
    limits = Limits(
        runtime_image=image,
        image_pull_policy=_one_of(environment, "IMAGE_PULL_POLICY", PULL_POLICIES),
        log_format=_one_of(environment, "POD_LOG_FORMAT", ("", "json", "text")),
        node_lost_grace=_integer(environment, "NODE_LOST_GRACE_SECONDS", 60),
        parallelism=_integer(environment, "DEFAULT_PARALLELISM", 50, minimum=1),
        disruption_budget=_integer(environment, "DISRUPTION_BUDGET", 20),
        max_pods=_integer(environment, "MAX_PODS", 0),
        max_pods_per_namespace=_integer(environment, "MAX_PODS_PER_NAMESPACE", 0),
        max_pods_per_run=_integer(environment, "MAX_PODS_PER_RUN", 0),
        tmp_size_limit=_quantity(environment, "TMP_SIZE_LIMIT", "10Gi"),
        spot=_spot(environment),
        inherited_labels=tuple(_words(environment, "INHERITED_LABEL_PREFIXES")),
        run_as_user=_user(environment),
        own_account=_namespaced(environment, "SERVICE_ACCOUNT"),
        pending_timeout=float(_integer(environment, "PENDING_TIMEOUT_SECONDS", 3600, minimum=1)),
    )
    lease = _namespaced(environment, "LEASE")
    identity = environment.get(f"{PREFIX}POD_NAME", "")
    if lease and not identity:
        raise SettingsError(
            f"environment variable {PREFIX}POD_NAME is not set, but {PREFIX}LEASE is: set it to the pod's name"
            " (fieldRef metadata.name), so that replicas can tell one another apart"
        )
    return Settings(
        limits=limits,
        namespaces=tuple(_words(environment, "NAMESPACES")),
        accounts_preinstalled=_one_of(environment, "ACCOUNTS", ("ensure", "given")) == "given",
        driver_role=environment.get(f"{PREFIX}DRIVER_ROLE") or names.DRIVER_SERVICE_ACCOUNT,
        task_role=environment.get(f"{PREFIX}TASK_ROLE") or names.TASK_SERVICE_ACCOUNT,
        handler_role=environment.get(f"{PREFIX}HANDLER_ROLE") or names.HANDLER_SERVICE_ACCOUNT,
        port=_integer(environment, "PORT", 8080),
        log_format=_one_of(environment, "LOG_FORMAT", ("text", "json")),
        log_level=_one_of(environment, "LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
        workers=_integer(environment, "WORKERS", 8, minimum=1),
        metrics_max_apps=_integer(environment, "METRICS_MAX_APPS", MAX_APPS),
        lease=lease,
        identity=identity,
    )


def _words(environment: Mapping[str, str], name: str) -> list[str]:
    """A variable with words that commas or spaces separate, sorted."""
    return sorted(environment.get(PREFIX + name, "").replace(",", " ").split())


def _namespaced(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """A variable of the form `<namespace>/<name>`, as a pair; None if it isn't set."""
    text = environment.get(PREFIX + name, "")
    if not text:
        return None
    namespace, _, object_name = text.partition("/")
    if not namespace or not object_name or "/" in object_name:
        raise _wrong(name, text, "<namespace>/<name>")
    return namespace, object_name


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """A variable with one of the values in `known`, in any case; the first of them if it isn't set."""
    text = environment.get(PREFIX + name, "") or known[0]
    value = next((value for value in known if value.lower() == text.lower()), None)
    if value is None:
        raise _wrong(name, text, f"one of {', '.join(filter(None, known))}")
    return value


def _quantity(environment: Mapping[str, str], name: str, default: str) -> str:
    """A variable with an amount of bytes as a Kubernetes quantity; empty if it is set to nothing."""
    text = environment.get(PREFIX + name, default)
    if text and not re.fullmatch(r"[1-9]\d*(\.\d+)?([kMGTP]|[KMGTP]i)?", text):
        raise _wrong(name, text, "an amount of bytes such as 10Gi, or to nothing for no limit")
    return text


def _spot(environment: Mapping[str, str]) -> SpotNodes:
    """The variable with the place of spot nodes, as JSON of the chart's value."""
    text = environment.get(f"{PREFIX}SPOT", "")
    wanted = 'JSON such as {"nodeSelector": {"node": "spot"}, "tolerations": [{"key": "spot"}]}'
    try:
        value = json.loads(text) if text else {}
    except ValueError as error:
        raise _wrong("SPOT", text, wanted) from error
    selector = value.get("nodeSelector") or {} if isinstance(value, dict) else None
    tolerations = value.get("tolerations") or [] if isinstance(value, dict) else None
    if not isinstance(selector, dict) or not isinstance(tolerations, list):
        raise _wrong("SPOT", text, wanted)
    if not all(isinstance(content, str) for content in selector.values()):
        raise _wrong("SPOT", text, wanted)
    if not all(isinstance(toleration, dict) for toleration in tolerations):
        raise _wrong("SPOT", text, wanted)
    return SpotNodes(selector, tuple(tolerations))


def _user(environment: Mapping[str, str]) -> int | None:
    """The user of pods; None if the variable is set to nothing, so that the cluster chooses one."""
    text = environment.get(f"{PREFIX}RUN_AS_USER", "65532")
    if text and (not text.isdigit() or not 0 < int(text) <= MAX_ID):
        raise _wrong("RUN_AS_USER", text, "a user's number above 0, or to nothing so that the cluster chooses one")
    return int(text) if text else None


def _integer(environment: Mapping[str, str], name: str, default: int, minimum: int = 0) -> int:
    text = environment.get(PREFIX + name, "")
    if not text:
        return default
    if not text.isdigit() or int(text) < minimum:
        raise _wrong(name, text, f"a whole number of at least {minimum}")
    return int(text)


def _wrong(name: str, value: str, wanted: str) -> SettingsError:
    return SettingsError(f"environment variable {PREFIX}{name} is {value!r}: set it to {wanted}")
