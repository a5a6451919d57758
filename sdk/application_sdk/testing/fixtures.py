"""The pytest fixtures, for a conftest that imports single ones. pytest finds them without that: see `pytest_plugin`."""

from application_sdk.pytest_plugin import (
    app_context,
    clean_app_registry,
    clean_task_registry,
    mock_credential_store,
    mock_heartbeat,
    mock_secret_store,
    mock_state_store,
)

__all__ = [
    "app_context",
    "clean_app_registry",
    "clean_task_registry",
    "mock_credential_store",
    "mock_heartbeat",
    "mock_secret_store",
    "mock_state_store",
]
