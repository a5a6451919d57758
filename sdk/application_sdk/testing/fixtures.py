"""The pytest fixtures. `application_sdk.pytest_plugin` gives them to every pytest of the environment.

So they import what they need when a test asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from application_sdk.app.context import AppContext
    from application_sdk.app.registry import AppRegistry, TaskRegistry
    from application_sdk.testing.mocks import (
        MockCredentialStore,
        MockHeartbeatController,
        MockSecretStore,
        MockStateStore,
    )


@pytest.fixture
def mock_secret_store() -> MockSecretStore:
    """An empty secret store."""
    from application_sdk.testing.mocks import MockSecretStore

    return MockSecretStore()


@pytest.fixture
def mock_state_store() -> MockStateStore:
    """An empty state store."""
    from application_sdk.testing.mocks import MockStateStore

    return MockStateStore()


@pytest.fixture
def mock_credential_store() -> MockCredentialStore:
    """An empty credential store."""
    from application_sdk.testing.mocks import MockCredentialStore

    return MockCredentialStore()


@pytest.fixture
def mock_heartbeat() -> Iterator[MockHeartbeatController]:
    """Takes the heartbeats of tasks that the test calls on a bare instance."""
    from application_sdk.app.standalone import replace_task_context, restore_task_context
    from application_sdk.testing.mocks import MockHeartbeatController

    controller = MockHeartbeatController()
    token = replace_task_context(controller.context)
    yield controller
    restore_task_context(token)


@pytest.fixture
def app_context(
    mock_secret_store: MockSecretStore, mock_state_store: MockStateStore, mock_credential_store: MockCredentialStore
) -> Iterator[AppContext]:
    """A context whose stores are the mocks of the same test; tasks that the test runs use them too."""
    from application_sdk.app.context import AppContext
    from application_sdk.infrastructure import InfrastructureContext, using_infrastructure

    stores = InfrastructureContext(
        secret_store=mock_secret_store, state_store=mock_state_store, credential_store=mock_credential_store
    )
    with using_infrastructure(stores):
        yield AppContext("test-app", "0.0.1", run_id="test-run", correlation_id="test-correlation")


@pytest.fixture
def clean_app_registry() -> Iterator[AppRegistry]:
    """An empty registry; what was registered before comes back after the test."""
    from application_sdk.app.registry import AppRegistry

    registry = AppRegistry.get_instance()
    before = registry.snapshot()
    registry.restore({})
    yield registry
    registry.restore(before)


@pytest.fixture
def clean_task_registry(clean_app_registry: AppRegistry) -> TaskRegistry:
    """A registry without tasks: tasks are those of the registered apps, so it has no apps either."""
    from application_sdk.app.registry import TaskRegistry

    return TaskRegistry.get_instance()
