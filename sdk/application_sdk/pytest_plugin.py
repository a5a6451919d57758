"""The pytest plugin: fixtures for tests of apps. pytest finds it by itself wherever this package is
installed.

Every pytest of that environment loads it, so neither it nor `application_sdk.testing` imports
anything else of the SDK until a test asks for a fixture.
"""

from application_sdk.testing.fixtures import (
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
