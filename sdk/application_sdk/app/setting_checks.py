"""The keywords of `@task` as a whole: what can't be meant is refused where the task is declared."""

from __future__ import annotations

from collections.abc import Sequence

from application_sdk.errors import AppDefinitionError
from application_sdk.execution.definition import TaskSettings
from application_sdk.wire import names
from application_sdk.wire.pod_fields import PodFields


def check_settings(settings: TaskSettings, title: str) -> None:
    """Raise AppDefinitionError, which says by `title` whose options they are."""
    _check_secrets(settings.pod, title)
    _check_account(settings.pod, title)
    _check_heartbeats(settings, title)


def _check_secrets(pod: PodFields, title: str) -> None:
    secrets: object = pod.get("secrets", [])
    if isinstance(secrets, str) or not isinstance(secrets, Sequence) or not all(isinstance(s, str) for s in secrets):
        raise AppDefinitionError(
            f"{title}: secrets={secrets!r} must be a list of names, those that the App declares in spec.secrets; [] "
            "for none"
        )
    if "secrets" in pod:
        pod["secrets"] = list(secrets)


def _check_account(pod: PodFields, title: str) -> None:
    account = pod.get("serviceAccountName")
    # guard: definition-account - a mistake in the code is best reported where it is written
    if account in names.RESERVED_SERVICE_ACCOUNTS:
        raise AppDefinitionError(
            f"{title}: service_account={account!r} belongs to AppRun itself, and no task runs as it: name an account "
            f"of your own, or leave it out for {names.TASK_SERVICE_ACCOUNT!r}"
        )


def _check_heartbeats(settings: TaskSettings, title: str) -> None:
    timeout, every = settings.heartbeat_timeout_seconds, settings.auto_heartbeat_seconds
    if timeout is not None and every is not None and every >= timeout:
        raise AppDefinitionError(
            f"{title}: auto_heartbeat_seconds={every:g} must be less than heartbeat_timeout_seconds={timeout:g}, "
            f"or every attempt is ended as lifeless; a sixth of it is a good choice"
        )
