"""The names that programs for the App Framework import: each is where they look for it."""

from __future__ import annotations

import importlib
import inspect

import pytest

from application_sdk.app import App
from application_sdk.app.context import AppContext
from application_sdk.app.task_options import TaskOptions
from application_sdk.attempt.task_context import TaskContext
from application_sdk.unsupported_imports import AtlanOnlyError

NAMES = {
    "application_sdk.app": (
        "App AppContext AppError NonRetryableError RetryPolicy RetryableError entrypoint now query signal sleep task "
        "update uuid4 wait_condition"
    ),
    "application_sdk.app.base": "App",
    "application_sdk.app.context": "AppContext",
    "application_sdk.app.entrypoint": "entrypoint",
    "application_sdk.app.registry": "AppRegistry TaskRegistry",
    "application_sdk.app.task": "task",
    "application_sdk.contracts": (
        "BoundedDict BoundedList ContractValidationError DownloadInput DownloadOutput FileReference GitReference "
        "HeartbeatDetails Input MaxItems Output PayloadSafetyError Record SerializableEnum StorageTier UploadInput "
        "UploadOutput is_backwards_compatible validate_payload_safety"
    ),
    "application_sdk.contracts.base": (
        "ContractValidationError HeartbeatDetails Input MaxItems Output PayloadSafetyError Record SerializableEnum "
        "is_backwards_compatible validate_payload_safety"
    ),
    "application_sdk.contracts.storage": "DownloadInput DownloadOutput UploadInput UploadOutput",
    "application_sdk.contracts.types": "BoundedDict BoundedList FileReference GitReference MaxItems StorageTier",
    "application_sdk.credentials": (
        "ApiKeyCredential BasicCredential BearerTokenCredential CertificateCredential CredentialRef CredentialResolver "
        "GitSshCredential GitTokenCredential OAuthClientCredential api_key_ref basic_ref bearer_token_ref "
        "certificate_ref git_ssh_ref git_token_ref oauth_client_ref register_credential_type"
    ),
    "application_sdk.credentials.ref": (
        "CredentialRef api_key_ref basic_ref bearer_token_ref certificate_ref git_ssh_ref git_token_ref "
        "oauth_client_ref"
    ),
    "application_sdk.execution.retry": "RetryPolicy retry_product_seconds",
    "application_sdk.handler": (
        "ApiMetadataObject ApiMetadataOutput AuthInput AuthOutput AuthStatus DefaultHandler Handler HandlerContext "
        "HandlerCredential HandlerError MetadataInput MetadataOutput PreflightCheck PreflightInput PreflightOutput "
        "PreflightStatus SqlMetadataObject SqlMetadataOutput"
    ),
    "application_sdk.handler.base": "DefaultHandler Handler HandlerError",
    "application_sdk.handler.context": "HandlerContext",
    "application_sdk.handler.contracts": (
        "ApiMetadataObject ApiMetadataOutput AuthInput AuthOutput AuthStatus HandlerCredential MetadataInput "
        "MetadataOutput PreflightCheck PreflightInput PreflightOutput PreflightStatus SqlMetadataObject "
        "SqlMetadataOutput"
    ),
    "application_sdk.infrastructure": (
        "EnvironmentSecretStore InfrastructureContext SecretStore StateStore clear_infrastructure set_infrastructure"
    ),
    "application_sdk.main": "run_dev_combined",
    "application_sdk.observability": "get_logger",
    "application_sdk.storage": (
        "create_local_store create_memory_store delete download_file exists list_keys upload_file"
    ),
    "application_sdk.testing": (
        "MockCredentialStore MockHeartbeatController MockSecretStore MockStateStore app_context clean_app_registry "
        "mock_credential_store mock_heartbeat mock_secret_store mock_state_store"
    ),
    "application_sdk.testing.fixtures": (
        "app_context clean_app_registry mock_credential_store mock_heartbeat mock_secret_store mock_state_store"
    ),
    "application_sdk.testing.mocks": "MockCredentialStore MockHeartbeatController MockSecretStore MockStateStore",
}

ATTRIBUTES = {
    App: (
        "run on_complete name version context task_context logger heartbeat run_in_thread holding_progress upload "
        "download continue_with now uuid random sleep preflight_gate_mode preflight_gate_timeout_seconds "
        "preflight_gate_max_attempts"
    ),
    AppContext: (
        "get_secret get_secret_optional resolve_credential resolve_credential_raw save_state load_state run_id "
        "app_name correlation_id"
    ),
    TaskContext: (
        "heartbeat get_heartbeat_details run_in_thread holding_progress attempt idempotency_key is_cancelled scratch"
    ),
}

KEYWORDS = {
    "timeout_seconds",
    "heartbeat_timeout_seconds",
    "auto_heartbeat_seconds",
    "schedule_to_close_seconds",
    "retry_max_attempts",
    "retry_max_interval_seconds",
    "retry_policy",
    "max_no_progress_seconds",
    "progress_watchdog",
}


@pytest.mark.parametrize("module", NAMES)
def test_a_module_has_its_names(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if getattr(found, name, None) is None] == []


@pytest.mark.parametrize("package", [name for name in NAMES if name.count(".") == 1 and name != "application_sdk.main"])
def test_a_package_lists_its_names(package: str) -> None:
    assert set(NAMES[package].split()) <= set(importlib.import_module(package).__all__)


def test_a_name_is_the_same_thing_wherever_it_is_imported_from() -> None:
    homes: dict[str, set[int]] = {}
    for module, names in NAMES.items():
        for name in names.split():
            homes.setdefault(name, set()).add(id(getattr(importlib.import_module(module), name)))
    assert [name for name, objects in homes.items() if len(objects) > 1] == []


@pytest.mark.parametrize("cls", ATTRIBUTES, ids=lambda cls: cls.__name__)
def test_a_class_has_its_attributes(cls: type) -> None:
    # `run` is the user's own, and ids are set when an object is made.
    there = set(dir(cls)) | {"run"} if cls is App else set(dir(cls))
    assert [name for name in ATTRIBUTES[cls].split() if name not in there] == []


def test_tasks_take_their_keywords() -> None:
    assert set(TaskOptions.__annotations__) >= KEYWORDS


def test_a_run_on_this_machine_takes_its_keywords() -> None:
    parameters = inspect.signature(importlib.import_module("application_sdk.main").run_dev_combined).parameters
    assert {"example_input", "credentials"} <= set(parameters)


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from application_sdk.app import AtlanClientMixin", "call that API from a @task with a client of your own"),
        ("import application_sdk.app.client", "Call that API from a @task with a client of your own"),
        ("from application_sdk.credentials import atlan_api_token_ref", "are for any API"),
        ("from application_sdk.credentials.atlan import AtlanApiToken", "are for any API"),
        ("from application_sdk.credentials.atlan_client import create_async_atlan_client", "client of your own"),
        ("from application_sdk.templates import SqlMetadataExtractor", "Derive from application_sdk.app.App"),
        ("from application_sdk.templates.contracts import FetchTablesInput", "Write an Input or Output"),
        ("from application_sdk.clients import BaseSQLClient", "a client library of your choice in a @task"),
        ("from application_sdk.common.sql_filters import read_sql_files", "into your app"),
        ("from application_sdk.transformers.query import QueryBasedTransformer", "Transform in a @task"),
        ("from application_sdk.dev import embedded_runtime", "need no service"),
    ],
)
def test_what_belongs_to_atlans_platform_says_so_when_it_is_imported(statement: str, instead: str) -> None:
    with pytest.raises(AtlanOnlyError, match=r"is not part of this SDK") as caught:
        exec(statement, {})
    assert instead in str(caught.value)
