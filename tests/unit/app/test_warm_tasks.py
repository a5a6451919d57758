"""`@task(reuse=ReusePolicy(...))`: what it may say, where it travels, and how an App changes it at deployment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.app.test_driver_tasks import refusal

from application_sdk.app import App, ReusePolicy, task
from application_sdk.app.driver_tasks import deployed
from application_sdk.app.manifest import manifest_of
from application_sdk.app.publication import findings_of
from application_sdk.app.warm_tasks import deployed_reuse
from application_sdk.contracts import Input, Output
from application_sdk.engines.kubernetes.app_tasks import Owner, app_task
from application_sdk.execution.engine import ScheduledCall

DEFAULTS = {
    "replicas": {"min": 0, "max": 8},
    "idleTtl": 60,
    "scaledownTtl": 60,
    "concurrency": 1,
    "mode": "process",
}


class In(Input):
    value: int = 0


class Out(Output):
    value: int = 0


class Warm(App):
    @task(reuse=ReusePolicy(replicas=(1, 4), max_calls=100))
    async def step(self, input: In) -> Out:
        return Out(value=input.value)

    @task(runs_in="driver")
    async def ask(self, input: In) -> Out:
        return Out()

    @task
    async def plain(self, input: In) -> Out:
        return Out()

    async def run(self, input: In) -> Out:
        return await self.step(input)


TASKS = Warm.definition.tasks
STEP = DEFAULTS | {"replicas": {"min": 1, "max": 4}, "maxCalls": 100}


def test_policy_travels_with_its_defaults_filled_in() -> None:
    assert ReusePolicy().to_fields() == DEFAULTS
    assert TASKS["step"].settings.reuse == STEP
    assert TASKS["plain"].settings.reuse is None


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"replicas": 0}, "replicas is 0; use a whole number from 1 to 1000 for at most so many pods, or a tuple"),
        ({"replicas": True}, "replicas is True"),
        ({"replicas": (3, 2)}, r"replicas is (3, 2); use a whole number"),
        ({"replicas": (0, 0)}, "replicas is (0, 0)"),
        ({"replicas": (1, 2, 3)}, "replicas is (1, 2, 3)"),
        ({"idle_ttl": -1}, "idle_ttl is -1; use a number of seconds from 0 to 86400"),
        ({"scaledown_ttl": float("nan")}, "scaledown_ttl is nan"),
        ({"scaledown_ttl": 86_401}, "and replicas=(min, max) for pods that stay longer"),
        ({"concurrency": 0}, "concurrency is 0; it is how many calls a pod executes at a time: use a whole"),
        ({"concurrency": 65}, "and more replicas for more than that"),
        ({"mode": "thread"}, 'mode is \'thread\'; use "process", where each call has a process of its own, or "actor"'),
        ({"max_calls": 0}, "max_calls is 0; it is after how many calls a pod makes way for a new one"),
    ],
)
def test_policy_that_makes_no_sense_says_what_to_write(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        ReusePolicy(**keywords)
    assert words in str(caught.value)


def test_pods_that_stay_exclude_the_driver() -> None:
    words = refusal(lambda: task(reuse=ReusePolicy(), runs_in="driver"))
    assert 'reuse and runs_in="driver" exclude one another' in words
    assert "Leave out one of them" in words


def test_reuse_takes_a_policy_only() -> None:
    words = refusal(lambda: task(reuse=8))  # type: ignore[call-overload]
    assert "reuse=8 must be a ReusePolicy: write reuse=ReusePolicy(replicas=8)" in words


def test_an_app_gives_a_task_other_warm_pods() -> None:
    wanted: dict[str, Any] = {"step": {"mode": "actor", "replicas": {"min": 0, "max": 2}}, "plain": {}, "ask": {}}
    changed = deployed_reuse(TASKS, wanted)
    assert changed["step"].settings.reuse == STEP | {"mode": "actor", "replicas": {"min": 0, "max": 2}}
    assert changed["plain"].settings.reuse == DEFAULTS
    assert (changed["ask"].settings.runs_in, changed["ask"].settings.reuse) == ("pod", DEFAULTS)


def test_an_app_whose_minimum_is_above_the_codes_maximum_is_told() -> None:
    wanted: dict[str, Any] = {"step": {"replicas": {"min": 9, "max": 4}}}
    assert "has a min of 9 and a max of 4. Raise max" in refusal(lambda: deployed_reuse(TASKS, wanted))


@pytest.mark.parametrize("place", ["pod", "driver"])
def test_an_app_takes_a_task_out_of_warm_pods(place: str) -> None:
    settings = deployed(TASKS, {"step": place}, ())["step"].settings
    assert (settings.runs_in, settings.reuse) == (place, None)


def test_manifest_and_inspection_say_which_tasks_have_warm_pods() -> None:
    published = manifest_of(Warm.definition)["tasks"]
    assert {name: one["reuse"] for name, one in published.items() if "reuse" in one} == {"step": STEP}
    described = findings_of(Warm.definition, None, "", 200_000)["tasks"]
    assert {one["name"]: one["reuse"] for one in described if "reuse" in one} == {"step": STEP}


def test_a_calls_object_carries_the_policy() -> None:
    policy = TASKS["step"].policy
    call = ScheduledCall(
        "k" * 32, "task", "step", "run", 1, {}, {}, policy, {}, "app.py:1", reuse=TASKS["step"].settings.reuse
    )
    owner = Owner("daily", "uid")
    body: dict[str, Any] = app_task(call, owner)
    assert body["spec"]["reuse"] == STEP
    assert "reuse" not in app_task(replace(call, reuse=None), owner)["spec"]
