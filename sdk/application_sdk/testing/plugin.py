"""The pytest plugin: `pytest_plugins = ["application_sdk.testing.plugin"]` makes all fixtures of the kit available."""

from application_sdk.testing.fixtures import (
    app_context,
    clean_app_registry,
    mock_credential_store,
    mock_heartbeat,
    mock_secret_store,
    mock_state_store,
)

__all__ = [
    "app_context",
    "clean_app_registry",
    "mock_credential_store",
    "mock_heartbeat",
    "mock_secret_store",
    "mock_state_store",
]
