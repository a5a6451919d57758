"""Programs in the shapes that the App Framework's public pages show, each with its imports, run here as they are.

Their contents are ours. What such a page leaves out (a source to read from, a client) is as small as can be.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

import pytest

from application_sdk.app import (
    App,
    AppError,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    entrypoint,
    now,
    sleep,
    task,
    uuid4,
    wait_condition,
)
from application_sdk.contracts import (
    FileReference,
    GitReference,
    HeartbeatDetails,
    Input,
    MaxItems,
    Output,
    SerializableEnum,
)
from application_sdk.credentials import (
    ApiKeyCredential,
    BasicCredential,
    CredentialRef,
    CredentialResolver,
    basic_ref,
    bearer_token_ref,
)
from application_sdk.execution.retry import retry_product_seconds
from application_sdk.infrastructure import (
    InfrastructureContext,
    clear_infrastructure,
    get_infrastructure,
    set_infrastructure,
)
from application_sdk.main import run_dev_combined
from application_sdk.observability import get_logger
from application_sdk.testing import (
    MockCredentialStore,
    MockHeartbeatController,
    MockSecretStore,
    MockStateStore,
    run_app,
)

logger = get_logger(__name__)


@pytest.fixture
def stores() -> Iterator[MockSecretStore]:
    secrets = MockSecretStore({"api-key": "k3y", "repo-token": json.dumps({"type": "bearer_token", "token": "t0ken"})})
    set_infrastructure(InfrastructureContext(secret_store=secrets, state_store=MockStateStore()))
    yield secrets
    clear_infrastructure()


class Depth(SerializableEnum):
    SHALLOW = "shallow"
    FULL = "full"


class CrawlInput(Input):
    connection: str = ""
    depth: Depth = Depth.SHALLOW
    schemas: Annotated[list[str], MaxItems(100)] = []
    repo: GitReference | None = None
    credential_ref: CredentialRef | None = None


class CrawlOutput(Output):
    count: int = 0
    text: str = ""
    file: FileReference | None = None


class PageProgress(HeartbeatDetails):
    page: int = 0


async def test_a_route_in_sequence_and_then_side_by_side() -> None:
    class Crawler(App):
        @task(timeout_seconds=1800)
        async def fetch_databases(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(count=2)

        @task(timeout_seconds=3600, auto_heartbeat_seconds=10)
        async def fetch_schemas(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(count=len(input.schemas))

        async def run(self, input: CrawlInput) -> CrawlOutput:
            first = await self.fetch_databases(CrawlInput(connection=input.connection))
            left, right = await asyncio.gather(
                self.fetch_schemas(CrawlInput(schemas=["a"])),
                self.fetch_schemas(CrawlInput(schemas=["b", "c"])),
            )
            return CrawlOutput(count=first.count + left.count + right.count)

    assert run_app(Crawler, CrawlInput()).output == CrawlOutput(count=5)
    assert (await Crawler().fetch_schemas(CrawlInput(schemas=["x"]))).count == 1


def test_several_entry_points_share_tasks_and_the_hook_at_the_end() -> None:
    ended: list[str] = []

    class Warehouse(App):
        name = "warehouse"
        version = "2.1.0"
        passthrough_modules = {"json"}

        @task
        async def fetch_tables(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(text=f"{self.context.app_name} {input.depth.value}")

        @entrypoint
        async def extract_metadata(self, input: CrawlInput) -> CrawlOutput:
            return await self.fetch_tables(input)

        @entrypoint(name="mine", default=True)
        async def mine_queries(self, input: CrawlInput) -> CrawlOutput:
            return await self.fetch_tables(CrawlInput(depth=Depth.FULL))

        async def on_complete(self) -> None:
            ended.append(self.context.run_id)
            await super().on_complete()

    assert run_app(Warehouse, CrawlInput()).output.text == "warehouse full"
    assert run_app(Warehouse, CrawlInput(), entrypoint="extract-metadata").output.text == "warehouse shallow"
    assert len(ended) == 2


def test_a_base_with_tasks_is_shared_by_apps_that_override_them() -> None:
    class BaseExtractor(App):
        @task(retry_max_attempts=1)
        async def read(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(text="base")

        @task
        async def write(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(text=f"wrote {input.connection}")

    class MyExtractor(BaseExtractor):
        @task(timeout_seconds=1800)
        async def read(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(text="own")

        async def run(self, input: CrawlInput) -> CrawlOutput:
            found = await self.read(input)
            return await self.write(CrawlInput(connection=found.text))

    assert run_app(MyExtractor, CrawlInput()).output.text == "wrote own"


def test_a_task_goes_on_from_its_last_heartbeat() -> None:
    class Pages(App):
        @task(heartbeat_timeout_seconds=60)
        async def read_pages(self, input: CrawlInput) -> CrawlOutput:
            before = self.task_context.get_heartbeat_details(PageProgress)
            start = before.page if before else 0
            for page in range(start, 10):
                self.task_context.heartbeat(PageProgress(page=page))
                if page == 6 and self.task_context.attempt == 1:
                    raise RetryableError("the source closed the connection")
            return CrawlOutput(count=start)

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.read_pages(input)

    assert run_app(Pages, CrawlInput()).output.count == 6


def test_blocking_calls_are_offloaded_and_vouched_for() -> None:
    class Scanner(App):
        @task(progress_watchdog="enforce", max_no_progress_seconds=900)
        async def scan(self, input: CrawlInput) -> CrawlOutput:
            async with self.holding_progress("full scan", timeout=7200):
                rows = await self.run_in_thread(sorted, [2, 1])
            count = await self.task_context.run_in_thread(len, rows)
            self.heartbeat()
            return CrawlOutput(count=count)

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.scan(input)

    assert run_app(Scanner, CrawlInput()).output.count == 2


def test_retries_are_declared_in_each_of_the_known_ways() -> None:
    policy = RetryPolicy().with_max_attempts(5).with_non_retryable(ValueError)

    class Flaky(App):
        @task(retry_policy=RetryPolicy(max_attempts=1))
        async def once(self, input: CrawlInput) -> CrawlOutput:
            raise ConnectionError("down")

        @task(retry_policy=policy)
        async def never_again(self, input: CrawlInput) -> CrawlOutput:
            raise ValueError("wrong")

        @task(
            timeout_seconds=3600,
            retry_max_attempts=3,
            retry_max_interval_seconds=60,
            schedule_to_close_seconds=retry_product_seconds(3600, 3),
        )
        async def permanent(self, input: CrawlInput) -> CrawlOutput:
            try:
                raise KeyError("gone")
            except KeyError as error:
                raise NonRetryableError("it won't come back") from error

        async def run(self, input: CrawlInput) -> CrawlOutput:
            seen: list[str] = []
            for call in (self.once, self.never_again, self.permanent):
                try:
                    await call(input)
                except AppError as error:
                    seen.append(str(error))
            return CrawlOutput(text="; ".join(seen))

    assert run_app(Flaky, CrawlInput()).output.text == (
        "task 'once' failed after 1 attempt: ConnectionError: down; "
        "task 'never_again' failed after 1 attempt: ValueError: wrong; "
        "task 'permanent' failed after 1 attempt: NonRetryableError: it won't come back"
    )


def test_a_long_loop_continues_as_a_new_run() -> None:
    class Incremental(App):
        @task
        async def fetch_batch(self, input: CrawlInput) -> CrawlOutput:
            return CrawlOutput(count=len(input.schemas))

        async def run(self, input: CrawlInput) -> CrawlOutput:
            batch = await self.fetch_batch(input)
            if batch.count < 3:
                self.continue_with(CrawlInput(schemas=[*input.schemas, "next"]))
            return CrawlOutput(count=batch.count)

    assert run_app(Incremental, CrawlInput()).output.count == 3


def test_time_and_waiting_take_spans_as_well_as_seconds() -> None:
    class Waiting(App):
        def __init__(self) -> None:
            self.state = "paused"
            self.started_at: datetime | None = None

        async def resume(self) -> None:
            await sleep(timedelta(minutes=2))
            self.state = "running"

        async def run(self, input: CrawlInput) -> CrawlOutput:
            self.started_at = now()
            resuming = asyncio.create_task(self.resume())
            await wait_condition(lambda: self.state != "paused")
            try:
                await wait_condition(lambda: False, timeout=timedelta(seconds=30))
            except TimeoutError:
                await self.sleep(timedelta(seconds=10))
            await resuming
            elapsed = (now() - self.started_at).total_seconds()
            return CrawlOutput(count=int(elapsed), text=str(uuid4() != self.uuid()))

    assert run_app(Waiting, CrawlInput()).output == CrawlOutput(count=160, text="True")


async def test_tasks_find_secrets_state_and_credentials(stores: MockSecretStore) -> None:
    class Reader(App):
        @task
        async def read(self, input: CrawlInput) -> CrawlOutput:
            key = await self.context.get_secret("api-key")
            missing = await self.context.get_secret_optional("nothing")
            infra = get_infrastructure()
            assert infra is not None
            assert infra.secret_store is not None
            raw = await CredentialResolver(secret_store=infra.secret_store).resolve_raw(bearer_token_ref("repo-token"))
            await self.context.save_state("cursor", {"page": 3})
            state = await self.context.load_state("cursor")
            return CrawlOutput(text=f"{len(key)} {missing} {len(raw['token'])} {state}")

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.read(input)

    expected = "3 None 5 {'page': 3}"
    assert (await Reader().read(CrawlInput())).text == expected
    assert run_app(Reader, CrawlInput()).output.text == expected


async def test_a_credential_is_resolved_by_its_reference() -> None:
    class Login(App):
        @task
        async def login(self, input: CrawlInput) -> CrawlOutput:
            assert input.credential_ref is not None
            found = await self.context.resolve_credential(input.credential_ref)
            return CrawlOutput(text=type(found).__name__)

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.login(input)

    store = MockCredentialStore()
    by_key = store.add_api_key("my-service", api_key="secret123")
    store.add_basic("db", username="user", password="pass")
    set_infrastructure(InfrastructureContext(secret_store=store.secret_store))
    try:
        assert (await Login().login(CrawlInput(credential_ref=by_key))).text == ApiKeyCredential.__name__
        assert (await Login().login(CrawlInput(credential_ref=basic_ref("db")))).text == BasicCredential.__name__
        assert run_app(Login, CrawlInput(credential_ref=by_key)).output.text == ApiKeyCredential.__name__
    finally:
        clear_infrastructure()


def test_references_and_enums_cross_task_boundaries() -> None:
    class Cloner(App):
        @task
        async def clone(self, input: CrawlInput) -> CrawlOutput:
            assert input.repo is not None
            assert isinstance(input.depth, Depth)
            return CrawlOutput(text=f"{input.repo.repo_url} {input.repo.branch}")

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.clone(input)

    done = run_app(Cloner, CrawlInput(repo=GitReference(repo_url="https://example.com/r.git"), depth=Depth.FULL)).output
    assert done.text == "https://example.com/r.git main"


def test_module_loggers_are_silent_in_a_replay(caplog: pytest.LogCaptureFixture) -> None:
    class Logging(App):
        @task
        async def work(self, input: CrawlInput) -> CrawlOutput:
            logger.info("in the task: %s", input.connection)
            return CrawlOutput()

        async def run(self, input: CrawlInput) -> CrawlOutput:
            logger.info("before")
            self.logger.info("also before")
            done = await self.work(input)
            logger.warning("after")
            return done

    from application_sdk.testing import replay

    with caplog.at_level(logging.INFO):
        finished = run_app(Logging, CrawlInput(connection="c"))
        written = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
        replay(Logging, finished.exported)
    assert [line for line in written if line in ("before", "in the task: c", "after")] == [
        "before",
        "in the task: c",
        "after",
    ]
    assert sum(record.getMessage() == "before" for record in caplog.records) == 1


async def test_heartbeats_are_seen_by_a_test(mock_heartbeat: MockHeartbeatController) -> None:
    class Beating(App):
        @task
        async def beat(self, input: CrawlInput) -> CrawlOutput:
            self.task_context.heartbeat(PageProgress(page=4))
            return CrawlOutput()

        async def run(self, input: CrawlInput) -> CrawlOutput:
            return await self.beat(input)

    await Beating().beat(CrawlInput())
    assert len(mock_heartbeat.get_heartbeat_calls()) == 1


class DevInput(Input):
    credential_guid: str = ""


class DevConnector(App):
    @task
    async def fetch(self, input: DevInput) -> CrawlOutput:
        infra = get_infrastructure()
        assert infra is not None
        assert infra.secret_store is not None
        raw = await CredentialResolver(secret_store=infra.secret_store).resolve_raw(
            bearer_token_ref(input.credential_guid)
        )
        return CrawlOutput(text=f"{sorted(raw)}")

    async def run(self, input: DevInput) -> CrawlOutput:
        return await self.fetch(input)


@pytest.mark.parametrize("example_input", [{}, {"credential_guid": "test-credential"}])
async def test_a_development_script_gives_a_credential(
    example_input: dict[str, str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPRUN_HOME", str(tmp_path))
    try:
        output = await run_dev_combined(
            DevConnector,
            example_input=dict(example_input),
            credentials={"authType": "bearer", "token": "ghp_1", "org": "acme"},
            temporal_ui=True,
            serve=False,
        )
    finally:
        clear_infrastructure()
    assert output == {"count": 0, "file": None, "text": "['authType', 'org', 'token']"}
