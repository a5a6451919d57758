"""A run of a cluster as the document that replays are made of: the same that `apprun export` writes of a local run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from application_sdk.cli.cluster.api import Object
from application_sdk.cli.cluster.errors import RefusedError
from application_sdk.cli.cluster.parse import origin_uid
from application_sdk.engines.kubernetes.ledger import (
    Ledger,
    LedgerUnreadable,
    begun_with,
    completion,
    recorded_call,
    seconds,
    timer_completion,
)
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import Completion
from application_sdk.replay.history import ExportedRun
from application_sdk.replay.identity import rules_of
from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from application_sdk.wire.fields import TERMINAL_RUN_PHASES, Checkpoint, Outcome

_DEFAULT_ENTRYPOINT = "run"


def export_run(run: Object, tasks: Sequence[Object], pages: Sequence[Object]) -> ExportedRun:
    """The past of an AppRun. Raises RefusedError when its objects don't agree, or it has none yet."""
    name, uid = run["metadata"]["name"], origin_uid(run)
    spec, status = run["spec"], run.get("status") or {}
    if "app" not in status or "startedAt" not in status:
        raise RefusedError(f"run {name!r} hasn't begun: there is nothing to export yet (it is {status.get('phase')})")
    by_key = {task["spec"]["key"]: task for task in tasks}
    ledger = Ledger(name)
    try:
        for page in pages:
            ledger.absorb_page(page)
        ledger.absorb(run)
        completions = [_completion(checkpoint, by_key, name) for checkpoint in ledger.since(0)]
    except LedgerUnreadable as error:
        raise RefusedError(f"the past of run {name!r} can't be exported: {error}") from error
    driver: Object = next((task for task in tasks if task["spec"].get("role") == "driver"), {})
    calls = [task for task in tasks if task["spec"].get("role") != "driver"]
    calls.sort(key=lambda task: (task["spec"].get("sequence") or 0, task["spec"]["key"]))
    phase = status.get("phase")
    ended = phase in TERMINAL_RUN_PHASES and not status.get("continuedAs")
    return ExportedRun(
        entry=status["app"]["entry"],
        entrypoint=_entrypoint(spec, by_key, calls),
        input=begun_with(run, driver) or spec.get("input") or {},
        info=RunInfo(
            run_id=name,
            uid=uid,
            started_at=seconds(status["startedAt"]),
            correlation_id=spec.get("correlationId") or uid,
            replay_rules=_replay_rules(calls) or status.get("replayRules"),
            own_disk=True,
        ),
        calls=[recorded_call(task) for task in calls],
        completions=completions,
        outcome=cast("Outcome", phase) if ended else None,
        output=cast("JSONObject | None", status.get("output")) if ended else None,
    )


def _replay_rules(tasks: Sequence[Object]) -> int | None:
    """The version of the replay rules that the run began with, as its first call tells."""
    return next(
        (rules_of(call.key, call.entrypoint, call.task, call.identity) for call in map(recorded_call, tasks)), None
    )


def _completion(checkpoint: Checkpoint, by_key: dict[str, Object], run: str) -> Completion:
    key = checkpoint["key"]
    if key == names.CANCEL_KEY or checkpoint["task"] == names.TIMER_TASK:
        return timer_completion(checkpoint)
    task = by_key.get(key)
    if task is None:
        raise LedgerUnreadable(f"AppTask {names.task_name(run, key)} is gone")
    return completion(checkpoint, task)


def _entrypoint(spec: Object, by_key: dict[str, Object], tasks: Sequence[Object]) -> str:
    """The run's entry point; where it left that to the app, what its calls say."""
    if spec.get("entrypoint"):
        return str(spec["entrypoint"])
    called = next((task["spec"]["entrypoint"] for task in tasks if task["spec"].get("entrypoint")), None)
    return str(called or _DEFAULT_ENTRYPOINT)
