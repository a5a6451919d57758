"""Misuse of App, task and entrypoint is refused where the class is defined, in words that say what to write instead."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import pytest

from application_sdk.app import App, RetryPolicy, entrypoint, query, signal, task, update
from application_sdk.app.registry import AppRegistry, TaskRegistry
from application_sdk.contracts import Input, Output
from application_sdk.errors import AppDefinitionError, AppNotFoundError


class In(Input):
    value: int = 0


class Out(Output):
    value: int = 0


T = TypeVar("T")


class Page(Input, Generic[T]):
    row: T


class Later(Output):
    next: Nowhere  # type: ignore[name-defined] # noqa: F821


def refusal(define: object) -> str:
    with pytest.raises(AppDefinitionError) as caught:
        define()  # type: ignore[operator]
    return str(caught.value)


def test_two_parameters_are_refused() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def fetch(self, input: In, more: int) -> Out: ...  # type: ignore[empty-body]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    text = refusal(define)
    assert "task 'fetch'" in text
    assert "exactly one parameter beside self, an Input; it has 2: input: 'In', more: 'int'" in text
    assert re.search(r"test_definition\.py:\d+", text)


def test_missing_annotations_are_refused() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def fetch(self, input): ...  # type: ignore[no-untyped-def]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    text = refusal(define)
    assert "doesn't say of which type 'input' is" in text
    assert "doesn't say what it returns" in text


def test_a_return_type_that_is_no_output_is_refused() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def fetch(self, input: In) -> dict[str, int]: ...  # type: ignore[empty-body,type-var]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert "returns dict[str, int], which is no subclass of Output" in refusal(define)


def test_an_input_that_is_no_input_is_refused() -> None:
    def define() -> None:
        class Wrong(App):
            async def run(self, input: str) -> Out: ...  # type: ignore[empty-body]

    assert "takes str, which is no subclass of Input" in refusal(define)


def test_a_contract_that_cannot_be_stored_is_refused_where_it_is_declared() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def fetch(self, input: Page[T]) -> Later: ...  # type: ignore[empty-body,valid-type]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    text = refusal(define)
    assert re.search(r"task 'fetch' \(.*test_definition\.py:\d+\) takes Page, which can't be stored:\n", text)
    assert "Page.row: T\n" in text
    assert "Give the class its types: Page[Row]." in text
    assert "returns Later, which can't be stored:\n" in text
    assert "Later: 'Nowhere'\n" in text
    assert "the name is unknown, so forward references aren't resolved" in text


def test_an_unknown_annotation_is_refused_with_a_hint() -> None:
    def define() -> None:
        class Wrong(App):
            async def run(self, input: Missing) -> Out: ...  # type: ignore[name-defined] # noqa: F821

    assert "name 'Missing' is not defined. Define or import the class at the module's top level" in refusal(define)


def test_a_class_without_run_is_one_to_derive_from() -> None:
    class Part(App):
        @task
        async def fetch(self, input: In) -> Out:
            return Out()

    class Whole(Part):
        async def run(self, input: In) -> Out:
            return await self.fetch(input)

    assert list(Whole.definition.tasks) == ["fetch"]
    assert Part not in AppRegistry.get_instance().list_all()
    assert not hasattr(Part, "definition")


async def test_a_task_of_a_class_without_run_can_be_called() -> None:
    class Part(App):
        @task
        async def fetch(self, input: In) -> Out:
            return Out()

    assert await Part().fetch(In()) == Out()


def test_the_rest_of_a_class_without_run_is_checked() -> None:
    def define() -> None:
        class Part(App):
            @task
            async def fetch(self, input: In) -> int: ...  # type: ignore[empty-body,type-var]

    assert "task 'fetch'" in refusal(define)


def test_the_same_task_name_twice_is_refused() -> None:
    def define() -> None:
        class Twice(App):
            @task
            async def fetch(self, input: In) -> Out: ...  # type: ignore[empty-body]

            @task  # type: ignore[no-redef]
            async def fetch(self, input: In) -> Out: ...  # type: ignore[empty-body] # noqa: F811

    text = refusal(define)
    assert "two tasks named 'fetch'" in text
    assert len(re.findall(r"test_definition\.py:\d+", text)) == 2


def test_two_tasks_given_one_name_are_refused() -> None:
    def define() -> None:
        class Twice(App):
            @task(name="fetch")
            async def one(self, input: In) -> Out: ...  # type: ignore[empty-body]

            @task(name="fetch")
            async def two(self, input: In) -> Out: ...  # type: ignore[empty-body]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert "two tasks are named 'fetch'" in refusal(define)


def test_all_faults_of_a_class_come_in_one_error() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def fetch(self, input: In) -> int: ...  # type: ignore[empty-body,type-var]

            def run(self, input: In) -> Out: ...  # type: ignore[empty-body,override]

            def on_complete(self) -> None: ...  # type: ignore[override]

    text = refusal(define)
    assert text.count("\n  - ") == 3
    assert "run()" in text
    assert "isn't async" in text
    assert "on_complete()" in text


def test_run_as_a_task_is_refused() -> None:
    def define() -> None:
        class Wrong(App):
            @task
            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body,override]

    assert "is the route and can't be a task" in refusal(define)


def test_a_task_replaced_by_a_plain_method_is_refused() -> None:
    class Base(App, abstract=True):
        @task
        async def fetch(self, input: In) -> Out:
            return Out()

    def define() -> None:
        class Wrong(Base):
            async def fetch(self, input: In) -> Out: ...  # type: ignore[empty-body,override]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert "mark it with @task" in refusal(define)


@pytest.mark.parametrize("limit", [0, 256 * 1024 + 1, "1 KiB", True])
def test_the_limit_of_payloads_can_be_lowered_only(limit: object) -> None:
    def define() -> None:
        class Wrong(App):
            max_payload_bytes = limit  # type: ignore[assignment]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert f"max_payload_bytes is {limit!r}; it can be lowered only: use a number from 1 to 245760" in refusal(define)


def test_senseless_values_are_refused_with_their_line() -> None:
    assert re.search(
        r"@task at .*test_definition\.py:\d+: timeout_seconds=-1 must be a number of seconds above 0",
        refusal(lambda: task(timeout_seconds=-1)),
    )
    assert "max_attempts is 0" in refusal(lambda: task(retry_max_attempts=0))
    assert "auto_heartbeat_seconds=60 must be less than" in refusal(
        lambda: task(auto_heartbeat_seconds=60, heartbeat_timeout_seconds=60)
    )
    assert '"off", "warn" or "enforce"' in refusal(lambda: task(progress_watchdog="loud"))  # type: ignore[arg-type]
    unknown = refusal(lambda: task(timeout=3))  # type: ignore[call-overload]
    assert "there is no keyword timeout. There are: " in unknown
    assert "auto_heartbeat_seconds, cpu, " in unknown


@pytest.mark.parametrize("decorator", [signal, query, update])
def test_what_is_not_offered_says_so_where_it_is_used(decorator: object) -> None:
    assert re.search(r"test_definition\.py:\d+: @\w+ isn't supported", refusal(lambda: decorator(lambda self: None)))  # type: ignore[operator]


def test_entry_points_are_named_in_kebab_case_and_the_first_by_alphabet_is_the_default() -> None:
    class Two(App):
        @entrypoint
        async def mine_queries(self, input: In) -> Out: ...  # type: ignore[empty-body]

        @entrypoint
        async def extract_metadata(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert sorted(Two.definition.entrypoints) == ["extract-metadata", "mine-queries"]
    assert Two.definition.default_entrypoint == "extract-metadata"


def test_a_marked_entry_point_is_the_default() -> None:
    class Two(App):
        @entrypoint(default=True, name="queries")
        async def mine_queries(self, input: In) -> Out: ...  # type: ignore[empty-body]

        @entrypoint
        async def extract(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert Two.definition.default_entrypoint == "queries"


def test_run_beside_entry_points_is_the_default() -> None:
    class Both(App):
        @entrypoint
        async def extract(self, input: In) -> Out: ...  # type: ignore[empty-body]

        async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert Both.definition.default_entrypoint == "run"


def test_two_defaults_are_refused() -> None:
    def define() -> None:
        class Two(App):
            @entrypoint(default=True)
            async def one(self, input: In) -> Out: ...  # type: ignore[empty-body]

            @entrypoint(default=True)
            async def two(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert "2 entry points say default=True: one, two" in refusal(define)


def test_a_default_beside_run_is_refused() -> None:
    def define() -> None:
        class Both(App):
            @entrypoint(default=True)
            async def one(self, input: In) -> Out: ...  # type: ignore[empty-body]

            async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert "run() is always the default entry point" in refusal(define)


def test_settings_reach_the_definition() -> None:
    class Settings(App):
        @task(
            timeout_seconds=30,
            schedule_to_close_seconds=90,
            retry_max_attempts=5,
            retry_max_interval_seconds=0.5,
            cpu="500m",
            memory="1Gi",
            image="example.org/big:1",
            node_selector={"disk": "fast"},
            tolerations=[{"key": "big", "operator": "Exists"}],
            service_account="reader",
        )
        async def fetch(self, input: In) -> Out: ...  # type: ignore[empty-body]

        @task
        def sync(self, input: In) -> Out: ...  # type: ignore[empty-body]

        @task(retry_policy=RetryPolicy(max_attempts=1, non_retryable_errors=("KeyError",)))
        async def once(self, input: In) -> Out: ...  # type: ignore[empty-body]

        async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    fetch = Settings.definition.tasks["fetch"]
    policy = fetch.settings.to_policy()
    assert policy["timeoutSeconds"] == 30
    assert policy["scheduleToCloseSeconds"] == 90
    assert policy["retry"]["maxAttempts"] == 5
    assert policy["retry"]["initialIntervalSeconds"] == 0.5
    assert fetch.settings.pod == {
        "cpu": "500m",
        "memory": "1Gi",
        "image": "example.org/big:1",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "big", "operator": "Exists"}],
        "serviceAccountName": "reader",
    }
    assert not Settings.definition.tasks["sync"].is_async
    assert Settings.definition.tasks["once"].settings.to_policy()["retry"]["nonRetryable"] == ["KeyError"]


@pytest.mark.parametrize("account", ["apprun-driver", "apprun-handler"])
def test_no_task_asks_for_an_account_of_appruns_own(account: str) -> None:
    with pytest.raises(
        AppDefinitionError, match=rf"test_definition.py:\d+: service_account='{account}' belongs to AppRun"
    ):
        task(service_account=account)


def test_an_inherited_task_can_be_overridden_and_the_rest_is_inherited() -> None:
    class Base(App, abstract=True):
        @task(timeout_seconds=5)
        async def fetch(self, input: In) -> Out:
            return Out(value=1)

        @task
        async def store(self, input: In) -> Out:
            return Out(value=2)

    class Child(Base):
        @task(timeout_seconds=7)
        async def fetch(self, input: In) -> Out:
            return Out(value=3)

        async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    assert sorted(Child.definition.tasks) == ["fetch", "store"]
    assert Child.definition.tasks["fetch"].settings.timeout_seconds == 7


def test_apps_are_found_by_name_and_an_unknown_name_lists_those_there_are() -> None:
    class RegisteredApp(App):
        @task
        async def fetch(self, input: In) -> Out: ...  # type: ignore[empty-body]

        async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    registry = AppRegistry.get_instance()
    assert registry.get("registered-app") is RegisteredApp
    assert [found.name for found in TaskRegistry.get_instance().get_tasks_for_app("registered-app")] == ["fetch"]
    with pytest.raises(AppNotFoundError, match=r"no app named 'nope' is defined; there are: .*registered-app"):
        registry.get("nope")


def test_an_unknown_entry_point_lists_those_there_are() -> None:
    class Some(App):
        async def run(self, input: In) -> Out: ...  # type: ignore[empty-body]

    with pytest.raises(AppNotFoundError, match="has no entry point 'nope'; it has run"):
        Some.definition.entrypoint("nope")
