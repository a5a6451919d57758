"""What programs for the App Framework do with its names, done here: errors, loggers, ids, files, credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from application_sdk.app import App, AppError, AppRegistry, NonRetryableError, TaskFailedError, TaskRegistry, task
from application_sdk.app.base import NonRetryableError as FromBase
from application_sdk.contracts import DownloadInput, FileReference, Input, Lazy, Output
from application_sdk.contracts.edge import without_unknown
from application_sdk.contracts.types import ConnectionRef
from application_sdk.credentials import CredentialValidationError, parse_credentials_extra
from application_sdk.credentials.spec import AgentCredentialSpec
from application_sdk.errors import (
    FailureCategory,
    InvalidInputError,
    NotFoundError,
    SourceUnavailableError,
    redact_secrets,
    safe_traceback,
)
from application_sdk.execution.heartbeat import run_in_thread
from application_sdk.execution.progress import ProgressWatchdogMode, holding_progress
from application_sdk.handler import PreflightCheck, PreflightInput
from application_sdk.handler.contracts import AuthInput
from application_sdk.infrastructure import InfrastructureContext, clear_infrastructure, set_infrastructure
from application_sdk.observability import get_correlation_context, metrics
from application_sdk.observability.logger_adaptor import AtlanLoggerAdapter, get_logger
from application_sdk.storage import (
    StorageNotFoundError,
    create_memory_store,
    delete_prefix,
    download_file,
    download_prefix,
    list_keys,
    normalize_key,
    upload_file,
    upload_prefix,
)
from application_sdk.templates.contracts.sql_metadata import ExtractionInput
from application_sdk.testing import MockSecretStore, MockStateStore, run_app


class Asked(Input):
    what: str = "x"
    count: int = 1


class Said(Output):
    text: str = ""


@dataclass(kw_only=True)
class QuotaError(SourceUnavailableError):
    quota: str | None = None
    api_token: str | None = None


class Failing(App):
    @task(retry_max_attempts=3, retry_initial_interval_seconds=1)
    async def fail(self, input: Asked) -> Said:
        if input.what == "leaf":
            raise InvalidInputError(message="no such table", field="table")
        if input.what == "told":
            raise InvalidInputError(message="later", retryable=True)
        if input.what == "once":
            raise NonRetryableError(message="gone", suggested_action="Make it")
        raise QuotaError(message="busy", quota="5/s")

    async def run(self, input: Asked) -> Said:
        try:
            return await self.fail(input)
        except TaskFailedError as error:
            return Said(text=f"{error.type} {error.attempts} {error.message}")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("leaf", "InvalidInputError 1 no such table"),
        ("told", "InvalidInputError 3 later"),
        ("once", "NonRetryableError 1 gone (Make it)"),
        ("own", "QuotaError 3 busy"),
    ],
)
def test_an_error_says_itself_whether_it_is_retried(what: str, expected: str) -> None:
    assert run_app(Failing, Asked(what=what)).output == Said(text=expected)


def test_an_error_is_data_without_its_secrets() -> None:
    cause = ValueError("https://me:hunter2@db/x?api_key=abc123")
    told = QuotaError(message="token=abc123 is bad", quota="5/s", api_token="t0ken", cause=cause).to_failure_details()
    assert (told.category, told.code, told.retryable) == (
        FailureCategory.SOURCE_UNAVAILABLE,
        "SOURCE_UNAVAILABLE",
        True,
    )
    assert (told.evidence["quota"], told.evidence["api_token"]) == ("5/s", "***")
    shown = told.model_dump_json()
    assert all(secret not in shown for secret in ("hunter2", "abc123", "t0ken"))
    assert redact_secrets("postgres://u:p@h/d password=x") == "postgres://***@h/d password=***"


def test_an_errors_cause_is_its_cause() -> None:
    cause = KeyError("k")
    error = AppError("no", cause=cause)
    assert (error.__cause__, str(error), error.qualified_code) == (cause, "no", "INTERNAL.INTERNAL")
    assert "KeyError" in safe_traceback(error)
    assert FromBase is NonRetryableError


def test_a_loggers_keywords_stand_behind_the_message(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("mine")
    assert isinstance(log, AtlanLoggerAdapter)
    with caplog.at_level(logging.INFO, "mine"):
        log.bind(table="t").info("read %d rows", 3, rate="5%")
    assert caplog.messages == ["read 3 rows table=t rate=5%"]
    metrics.create_counter("rows").add(3)


def test_ids_of_the_run_are_on_the_app_and_on_its_inputs() -> None:
    class Knowing(App):
        @task(name="github:fetch", pool="heavy")
        async def fetch(self, input: Asked) -> Said:
            found = get_correlation_context()
            assert found is not None
            assert found.correlation_id == self.correlation_id == input.correlation_id
            assert self.context.workflow_id == self.run_id == input.workflow_id != ""
            assert not self.is_cancelled()
            assert not self.context.is_cancelled()
            async with holding_progress("all", timeout=5):
                return Said(text=await run_in_thread(self.require, input.what, "what"))

        async def run(self, input: Asked) -> Said:
            assert self.context.started_at <= self.now()
            done = await self.fetch(input)
            assert (done.status, done.metrics) == ("success", None)  # type: ignore[attr-defined]
            return done

    assert run_app(Knowing, Asked()).output == Said(text="x")
    assert (Asked().workflow_id, Knowing().run_id) == ("", "")
    with pytest.raises(NonRetryableError, match="table is needed"):
        Knowing().require("", "table")


def test_a_config_hash_changes_with_what_was_changed() -> None:
    assert Asked().config_hash() == Asked(what="x").config_hash() != Asked(what="y").config_hash()
    assert Asked(what="y").config_hash({"what"}) == Asked().config_hash()


def test_a_registry_can_be_emptied(clean_task_registry: TaskRegistry) -> None:
    assert clean_task_registry.get_all_tasks() == {}
    TaskRegistry.reset()
    assert AppRegistry.get_instance().list_apps() == []


@pytest.fixture
def store() -> Iterator[Any]:
    made = create_memory_store()
    set_infrastructure(InfrastructureContext(MockStateStore(), MockSecretStore(), made))
    yield made
    clear_infrastructure()


async def test_functions_of_storage_use_the_infrastructures_store(store: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.json", "b.csv"):
        (folder / name).write_text(name)
    assert await upload_prefix(folder, "./local/tmp/artifacts") == ["artifacts/a.json", "artifacts/b.csv"]
    await upload_file("other", folder / "a.json", chunk_size=5, retain_local_copy=False)
    assert not (folder / "a.json").exists()
    assert (
        await list_keys("artifacts", store) == await list_keys("artifacts") == ["artifacts/a.json", "artifacts/b.csv"]
    )
    (got,) = await download_prefix("artifacts", tmp_path / "out", suffix=".csv", strip_prefix=True)
    assert Path(got).read_text() == "b.csv"  # noqa: ASYNC240 - a test's own file
    assert (await delete_prefix("artifacts"), await list_keys()) == (2, ["other"])
    with pytest.raises(StorageNotFoundError):
        await download_file("artifacts/a.json", tmp_path / "x")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("./local/tmp/a/b", "a/b"),
        ("/a/b/", "a/b"),
        ("local/tmp", ""),
        ("", ""),
        ("a\\b", "a/b"),
        ("local/tmpx", "local/tmpx"),
    ],
)
def test_a_key_is_normalized(given: str, plain: str) -> None:
    assert normalize_key(given) == plain


def test_a_lazy_file_is_fetched_when_the_task_asks() -> None:
    class Kept(Output):
        file: FileReference = FileReference()

    class Late(Input):
        file: Annotated[FileReference | None, Lazy()] = None

    class Reader(App):
        @task
        async def write(self, input: Asked) -> Kept:
            path = self.task_context.scratch / "f"
            path.write_text("content")
            return Kept(file=FileReference.from_local(path))

        @task
        async def read(self, input: Late) -> Said:
            assert input.file is not None
            assert input.file.local_path is None
            got = await self.download(DownloadInput(ref=input.file))
            return Said(text=got.ref.path.read_text())

        async def run(self, input: Asked) -> Said:
            return await self.read(Late(file=(await self.write(input)).file))

    assert run_app(Reader, Asked()).output == Said(text="content")


def test_unknown_fields_at_the_edge_are_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    given = {"what": "y", "colour": "red", "correlation_id": "c", "workflow_type": "w"}
    assert without_unknown(Asked, dict(given)) == {"what": "y"}
    assert caplog.messages == ["Asked has no field 'colour': left out of the input"]


def test_contracts_of_the_platform_are_plain_data() -> None:
    given = ExtractionInput(
        connection=ConnectionRef.model_validate({"attributes": {"qualifiedName": "default/x", "more": 1}}),
        agent_json=AgentCredentialSpec.model_validate({"agent-name": "a", "basic.username": "u"}),
    )
    assert given.connection.attributes.qualified_name == "default/x"
    assert given.agent_json is not None
    assert given.agent_json.is_populated()


def test_a_preflights_metadata_has_attributes() -> None:
    asked = PreflightInput.model_validate({"metadata": {"schema-filter": "a", "host": "db"}})
    assert (asked.metadata.host, asked.metadata["schema-filter"], asked.metadata.get("no", 1)) == ("db", "a", 1)  # type: ignore[attr-defined]
    check = PreflightCheck(name="host", error=NotFoundError(message="no host").to_failure_details())
    assert check.error is not None
    assert check.error.message == "no host"


@pytest.mark.parametrize(
    "body",
    [
        {"credentials": {"host": "db", "port": 5432, "extra": {"role": "r"}}},
        {
            "credentials": [
                {"key": "host", "value": "db"},
                {"key": "port", "value": "5432"},
                {"key": "extra.role", "value": "r"},
            ]
        },
    ],
)
def test_flat_credentials_are_parts(body: dict[str, Any]) -> None:
    asked = AuthInput.model_validate(body)
    assert {part.key: part.value for part in asked.credentials} == {"host": "db", "port": "5432", "extra.role": "r"}
    flat = AuthInput.model_validate({"host": "db", "timeout_seconds": 3})
    assert [(part.key, part.value) for part in flat.credentials] == [("host", "db")]


def test_the_extra_of_a_credential_is_read_in_both_of_its_forms() -> None:
    assert parse_credentials_extra({"extra": {"a": 1}}) == parse_credentials_extra({"extra": '{"a": 1}'}) == {"a": 1}
    with pytest.raises(CredentialValidationError) as caught:
        parse_credentials_extra({"extra": "s3cret"})
    assert "s3cret" not in str(caught.value)
    assert parse_credentials_extra({"extra": "x"}, strict=False) == parse_credentials_extra({}) == {}


def test_a_pool_is_accepted_and_said_to_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    task(pool="heavy", progress_watchdog=ProgressWatchdogMode.WARN.value)
    assert "pool='heavy' has no effect. Each task has a pod of its own" in caplog.text
