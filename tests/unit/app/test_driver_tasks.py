"""`@task(runs_in="driver")`: what it may ask for, what it is given by default, and how an App moves a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from application_sdk.app import App, RetryPolicy, task
from application_sdk.app.driver_tasks import deployed
from application_sdk.app.manifest import manifest_of
from application_sdk.app.publication import findings_of
from application_sdk.contracts import Input, Output
from application_sdk.errors import AppDefinitionError


class In(Input):
    value: int = 0


class Out(Output):
    value: int = 0


def refusal(define: Callable[[], object]) -> str:
    with pytest.raises(AppDefinitionError) as caught:
        define()
    return str(caught.value)


class Quick(App):
    driver_secrets = ("openai", "jira")

    @task(runs_in="driver", secrets=["openai"])
    async def ask(self, input: In) -> Out:
        return Out(value=input.value)

    @task(cpu="2")
    async def shaped(self, input: In) -> Out:
        return Out()

    @task(secrets=["database"])
    async def read(self, input: In) -> Out:
        return Out()

    @task
    async def plain(self, input: In) -> Out:
        return Out()

    async def run(self, input: In) -> Out:
        return await self.ask(input)


TASKS = Quick.definition.tasks


def test_defaults_fit_into_a_driver() -> None:
    settings = TASKS["ask"].settings
    assert (settings.runs_in, settings.timeout_seconds, settings.retry.max_attempts) == ("driver", 10, 3)
    assert TASKS["ask"].policy.keys() == {"timeoutSeconds", "retry"}
    assert TASKS["plain"].settings.runs_in == "pod"


@pytest.mark.parametrize(
    "field",
    [
        {"cpu": "1"},
        {"memory": "1Gi"},
        {"image": "other:1"},
        {"node_selector": {"disk": "ssd"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"service_account": "mine"},
    ],
    ids=str,
)
def test_pod_fields_are_refused_with_the_remedy(field: dict[str, Any]) -> None:
    words = refusal(lambda: task(runs_in="driver", **field))
    assert f"{next(iter(field))} shape the pod of a task" in words
    assert "leave them out" in words


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout_seconds": 61},
        {"timeout_seconds": 20},
        {"timeout_seconds": None},
        {"retry_max_attempts": 6},
        {"retry_max_attempts": 2, "retry_initial_interval_seconds": 45},
        {"timeout_seconds": 1, "retry_max_attempts": 2**31 - 1},
    ],
    ids=str,
)
def test_calls_that_may_take_over_a_minute_are_refused(limits: dict[str, Any]) -> None:
    words = refusal(lambda: task(runs_in="driver", **limits))
    assert "a call may take 60 s, all attempts and the waits between them included" in words
    assert "Lower timeout_seconds or retry_max_attempts, set schedule_to_close_seconds=60" in words


@pytest.mark.parametrize(
    "limits",
    [
        {"timeout_seconds": 19, "retry_max_attempts": 3},
        {"timeout_seconds": 60, "retry_max_attempts": 1},
        {"timeout_seconds": None, "schedule_to_close_seconds": 60},
        {"retry_policy": RetryPolicy(max_attempts=1)},
    ],
    ids=str,
)
def test_a_minute_in_all_is_allowed(limits: dict[str, Any]) -> None:
    assert task(runs_in="driver", **limits)._settings.runs_in == "driver"


@pytest.mark.parametrize(
    "watch",
    [{"heartbeat_timeout_seconds": 30}, {"auto_heartbeat_seconds": 5}, {"max_no_progress_seconds": 9},
     {"progress_watchdog": "enforce"}],
    ids=str,
)  # fmt: skip
def test_watches_of_long_attempts_are_refused(watch: dict[str, Any]) -> None:
    words = refusal(lambda: task(runs_in="driver", **watch))
    assert f'{next(iter(watch))} and runs_in="driver" exclude one another' in words


def test_other_places_are_refused() -> None:
    assert 'runs_in=\'node\' must be "pod" or "driver"' in refusal(lambda: task(runs_in="node"))  # type: ignore[call-overload]


def test_options_of_a_call_are_held_to_the_same() -> None:
    ask = Quick().ask
    assert "cpu shape the pod" in refusal(lambda: ask.options(cpu="1"))
    assert "may take 60 s" in refusal(lambda: ask.options(timeout_seconds=50))
    changed = ask.options(timeout_seconds=5).definition
    assert changed is not None
    assert (changed.settings.runs_in, changed.settings.timeout_seconds) == ("driver", 5)


def test_secrets_that_the_app_does_not_list_are_refused() -> None:
    def define() -> None:
        class Careless(App):
            driver_secrets = ("openai",)

            @task(runs_in="driver", secrets=["openai", "database"])
            async def ask(self, input: In) -> Out:
                return Out()

            async def run(self, input: In) -> Out:
                return await self.ask(input)

    words = refusal(define)
    assert "asks for the secrets database; the app lists openai for it" in words
    assert "add them to driver_secrets of the class (and set driver: true in spec.secrets of the App)" in words


def test_driver_secrets_are_names() -> None:
    def define() -> None:
        class Careless(App):
            driver_secrets = "openai"

            async def run(self, input: In) -> Out:
                return Out()

    assert "driver_secrets is 'openai': use the names of secrets" in refusal(define)


# Moved at deployment


def test_app_moves_a_task_into_the_driver_and_back() -> None:
    moved = deployed(TASKS, {"plain": "driver", "ask": "pod", "shaped": "pod"}, Quick.driver_secrets)
    assert {name: definition.settings.runs_in for name, definition in moved.items()} == {
        "plain": "driver", "ask": "pod"
    }  # fmt: skip
    assert moved["plain"].policy == {"timeoutSeconds": 10, "retry": TASKS["plain"].policy["retry"]}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"plain": "node"}, "spec.tasks.plain of the App: runsIn is 'node'"),
        ({"shaped": "driver"}, "cpu shape the pod of a task"),
        ({"read": "driver"}, "asks for the secrets database; the app lists jira, openai for it"),
    ],
)
def test_app_that_moves_what_cannot_move_is_told_why(wanted: dict[str, object], words: str) -> None:
    assert words in refusal(lambda: deployed(TASKS, wanted, Quick.driver_secrets))


# Published


def test_manifest_says_where_a_task_is_executed() -> None:
    tasks = manifest_of(Quick.definition)["tasks"]
    assert {name: one["runsIn"] for name, one in tasks.items() if "runsIn" in one} == {"ask": "driver"}


def test_inspection_publishes_where_a_task_is_executed() -> None:
    found = findings_of(Quick.definition, None, "", 200_000)["tasks"]
    assert {one["name"]: one["runsIn"] for one in found if "runsIn" in one} == {"ask": "driver"}
