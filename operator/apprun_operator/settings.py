"""The operator's settings: read once from the environment, by `main`, and handed on as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from application_sdk.wire import names
from apprun_operator.plan.limits import Limits
from apprun_operator.telemetry.label_limit import MAX_APPS

PREFIX: Final = "APPRUN_"
PULL_POLICIES: Final = ("", "Always", "IfNotPresent", "Never")


class SettingsError(Exception):
    """A setting is missing or wrong: the text names the variable and what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Each is an environment variable `APPRUN_<NAME>`."""

    limits: Limits
    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; all when empty."""
    accounts_preinstalled: bool = False
    """Whether somebody else makes the service accounts and bindings of each namespace."""
    driver_role: str = names.DRIVER_SERVICE_ACCOUNT
    """ClusterRole that drivers are bound to."""
    task_role: str = names.TASK_SERVICE_ACCOUNT
    handler_role: str = names.HANDLER_SERVICE_ACCOUNT
    port: int = 8080
    """Where health and metrics are served."""
    log_level: str = "INFO"
    log_format: str = "text"
    """`text` for people, `json` for collectors."""
    workers: int = 8
    """How many runs are planned side by side."""
    metrics_max_apps: int = MAX_APPS
    """How many apps figures tell apart by name."""
    lease: tuple[str, str] | None = None
    """Namespace and name of the Lease that replicas compete for; None when this operator is the only one."""
    identity: str = ""
    """Who this replica is to the others: its pod's name."""


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings, or a SettingsError that says what to set."""
    image = environment.get(f"{PREFIX}RUNTIME_IMAGE", "")
    if not image:
        raise SettingsError(
            f"{PREFIX}RUNTIME_IMAGE is not set: name the image that runs apps without an image of their own"
        )
    limits = Limits(
        runtime_image=image,
        image_pull_policy=_one_of(environment, "IMAGE_PULL_POLICY", PULL_POLICIES),
        log_format=_one_of(environment, "POD_LOG_FORMAT", ("", "json", "text")),
        node_lost_grace=_whole(environment, "NODE_LOST_GRACE_SECONDS", 60),
        parallelism=_whole(environment, "DEFAULT_PARALLELISM", 50, least=1),
        disruption_budget=_whole(environment, "DISRUPTION_BUDGET", 20),
        max_pods=_whole(environment, "MAX_PODS", 0),
        max_pods_per_namespace=_whole(environment, "MAX_PODS_PER_NAMESPACE", 0),
        max_pods_per_run=_whole(environment, "MAX_PODS_PER_RUN", 0),
        tmp_size_limit=_quantity(environment, "TMP_SIZE_LIMIT", "10Gi"),
        own_account=_namespaced(environment, "SERVICE_ACCOUNT"),
        pending_timeout=float(_whole(environment, "PENDING_TIMEOUT_SECONDS", 3600, least=1)),
    )
    lease = _namespaced(environment, "LEASE")
    identity = environment.get(f"{PREFIX}POD_NAME", "")
    if lease and not identity:
        raise SettingsError(f"{PREFIX}POD_NAME is not set: with {PREFIX}LEASE each replica needs a name of its own")
    return Settings(
        limits=limits,
        namespaces=tuple(sorted(filter(None, environment.get(f"{PREFIX}NAMESPACES", "").replace(",", " ").split()))),
        accounts_preinstalled=_one_of(environment, "ACCOUNTS", ("ensure", "given")) == "given",
        driver_role=environment.get(f"{PREFIX}DRIVER_ROLE") or names.DRIVER_SERVICE_ACCOUNT,
        task_role=environment.get(f"{PREFIX}TASK_ROLE") or names.TASK_SERVICE_ACCOUNT,
        handler_role=environment.get(f"{PREFIX}HANDLER_ROLE") or names.HANDLER_SERVICE_ACCOUNT,
        port=_whole(environment, "PORT", 8080),
        log_format=_one_of(environment, "LOG_FORMAT", ("text", "json")),
        log_level=_one_of(environment, "LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
        workers=_whole(environment, "WORKERS", 8, least=1),
        metrics_max_apps=_whole(environment, "METRICS_MAX_APPS", MAX_APPS),
        lease=lease,
        identity=identity,
    )


def _namespaced(environment: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """`<namespace>/<name>` as a pair; None when it isn't set."""
    text = environment.get(PREFIX + name, "")
    if not text:
        return None
    namespace, _, found = text.partition("/")
    if not namespace or not found or "/" in found:
        raise SettingsError(f"{PREFIX}{name} is {text!r}: give <namespace>/<name>")
    return namespace, found


def _one_of(environment: Mapping[str, str], name: str, known: tuple[str, ...]) -> str:
    """One of `known`, whatever its case; the first of them when it isn't set."""
    text = environment.get(PREFIX + name, "") or known[0]
    found = next((word for word in known if word.lower() == text.lower()), None)
    if found is None:
        raise SettingsError(f"{PREFIX}{name} is {text!r}: give one of {', '.join(filter(None, known))}")
    return found


def _quantity(environment: Mapping[str, str], name: str, default: str) -> str:
    """An amount of bytes as Kubernetes writes it. Empty when it is set to nothing."""
    text = environment.get(PREFIX + name, default)
    if text and not re.fullmatch(r"[1-9]\d*(\.\d+)?([kMGTP]|[KMGTP]i)?", text):
        raise SettingsError(
            f"{PREFIX}{name} is {text!r}: give an amount of bytes such as 10Gi, or nothing for no limit"
        )
    return text


def _whole(environment: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = environment.get(PREFIX + name, "")
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise SettingsError(f"{PREFIX}{name} is {text!r}: give a whole number, at least {least}")
    return int(text)
