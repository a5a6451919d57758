"""The test kit: run an app in virtual time, prove it durable, replay a real run, stand in for what tasks talk to.

Stands on top of the SDK: nothing else imports it. `pytest` is needed for the fixtures only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application_sdk.testing.durability import (
        DurabilityError,
        DurabilityReport,
        Schedule,
        UnfinishedCheckWarning,
        check_durability,
    )
    from application_sdk.testing.fixtures import (
        app_context,
        clean_app_registry,
        clean_task_registry,
        mock_credential_store,
        mock_heartbeat,
        mock_secret_store,
        mock_state_store,
    )
    from application_sdk.testing.mocks import (
        MockCredentialStore,
        MockHeartbeatController,
        MockSecretStore,
        MockStateStore,
    )
    from application_sdk.testing.nesting import NestedCheckError
    from application_sdk.testing.replay_check import ReplayError, replay
    from application_sdk.testing.runs import FinishedRun, RunFailedError, run_app

__all__ = [
    "DurabilityError",
    "DurabilityReport",
    "FinishedRun",
    "MockCredentialStore",
    "MockHeartbeatController",
    "MockSecretStore",
    "MockStateStore",
    "NestedCheckError",
    "ReplayError",
    "RunFailedError",
    "Schedule",
    "UnfinishedCheckWarning",
    "app_context",
    "check_durability",
    "clean_app_registry",
    "clean_task_registry",
    "mock_credential_store",
    "mock_heartbeat",
    "mock_secret_store",
    "mock_state_store",
    "replay",
    "run_app",
]

_LATER = {
    "durability": "DurabilityError DurabilityReport Schedule UnfinishedCheckWarning check_durability",
    "fixtures": "app_context clean_app_registry clean_task_registry mock_credential_store mock_heartbeat "
    "mock_secret_store mock_state_store",
    "mocks": "MockCredentialStore MockHeartbeatController MockSecretStore MockStateStore",
    "nesting": "NestedCheckError",
    "replay_check": "ReplayError replay",
    "runs": "FinishedRun RunFailedError run_app",
}
"""Loaded when they are first asked for: the pytest plugin loads this package in every pytest of the environment, and
`fixtures` needs pytest, which a program that only runs or replays an app may not have."""


if not TYPE_CHECKING:

    def __getattr__(name):
        from application_sdk.lazy_attributes import load

        return load(__name__, name, _LATER)
