"""Objects of the API server as short states that say what they wait for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hack.restarts import OperatorPod
from tests.support.kube import Object

ENDS = ("Succeeded", "Failed", "Cancelled")
AGE_STEP = 10
"""Ages are rounded down to this, so that a watch that is quiet isn't written down with each sample."""
QUIET_SECONDS = 30
"""A watch that is silent for less is left out."""
MESSAGE_LENGTH = 200

State = dict[str, Object]
"""What a sample holds, by kind and name: `run ns/name`, `call ns/name`, `pod ns/name`, `node name`, `lease`,
`operator name`, `metrics name`, `api`."""

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def run_state(row: Mapping[str, Any]) -> Object:
    columns = {"phase": "Phase", "reason": "Reason", "done": "Done", "failed": "Failed", "total": "Tasks"}
    counts = {"active": "Active", "waiting": "Waiting", "queued": "Queued", "message": "Message"}
    return _filled({key: row.get(column) for key, column in {**columns, **counts}.items()})


def call_state(row: Mapping[str, Any]) -> Object:
    columns = {"task": "Task", "phase": "Phase", "attempt": "Attempt", "message": "Message", "error": "Error"}
    return _filled({key: row.get(column) for key, column in columns.items()})


def pod_state(pod: Mapping[str, Any]) -> Object:
    """Phase, node, which conditions are unmet and why, and what each container that doesn't run waits for."""
    status = pod.get("status", {})
    unmet = [_condition(c) for c in status.get("conditions", []) if c["status"] != "True" and c["type"] != "Ready"]
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return _filled(
        {
            "phase": status.get("phase"),
            "node": pod["spec"].get("nodeName"),
            "leaving": leaving(pod),
            "gates": [gate["name"] for gate in pod["spec"].get("schedulingGates", [])],
            "unmet": unmet,
            "containers": [text for container in containers if (text := _container(container))],
        }
    )


def node_state(node: Mapping[str, Any]) -> Object:
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    pressed = [condition for condition, c in conditions.items() if condition != "Ready" and c["status"] == "True"]
    return _filled(
        {
            "ready": ready.get("status") == "True",
            "reason": None if ready.get("status") == "True" else ready.get("reason"),
            "pressed": pressed,
            "unschedulable": node["spec"].get("unschedulable"),
        }
    )


def metrics_state(text: str, before: Mapping[float, float] | None) -> tuple[Object, dict[float, float]]:
    """Who leads, which watches are quiet and for how long, and the loop's worst lag since the reading `before`."""
    silent: dict[str, int] = {}
    buckets: dict[float, float] = {}
    values: dict[str, float] = {}
    for name, labels, number in SAMPLE.findall(text):
        label_values = dict(LABEL.findall(labels))
        if name == "apprun_watch_silence_seconds" and float(number) >= QUIET_SECONDS:
            silent[label_values["kind"]] = stepped(float(number))
        elif name == "apprun_loop_lag_seconds_bucket":
            buckets[float(label_values["le"])] = float(number)
        elif name in ("apprun_is_leader", "apprun_queue_length"):
            values[name] = float(number)
    leads = values.get("apprun_is_leader") == 1
    queue = int(values.get("apprun_queue_length", 0))
    return _filled({"leads": leads, "queue": queue, "silent": silent, "lag": _lag(buckets, before)}), buckets


def _lag(now: Mapping[float, float], before: Mapping[float, float] | None) -> str | None:
    """The bucket of the slowest beat since then; None while it was quick."""
    new = {bound: count - (before or {}).get(bound, 0.0) for bound, count in sorted(now.items())}
    if not new or max(new.values()) <= 0:
        return None
    below = 0.0
    slowest: tuple[float, float] = (0.0, 0.0)
    lower = 0.0
    for bound, count in new.items():
        if count > below:
            slowest = (lower, bound)
        below, lower = count, bound
    return f"over {slowest[0]:g} s" if slowest[0] >= 0.1 else None


def leaving(item: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in item["metadata"]


def operator_state(pod: OperatorPod) -> Object:
    last = None if pod.last is None else str(pod.last)
    state = {"node": pod.node, "ready": pod.ready, "restarts": pod.restarts, "leaving": pod.leaving, "last": last}
    return _filled(state)


def _condition(condition: Mapping[str, Any]) -> str:
    reason, message = condition.get("reason", ""), condition.get("message", "")
    return short(": ".join(part for part in (condition["type"], reason, message) if part))


def _container(status: Mapping[str, Any]) -> str:
    for kind, state in status.get("state", {}).items():
        if kind == "waiting" or (kind == "terminated" and state.get("exitCode")):
            code = f" {state['exitCode']}" if "exitCode" in state else ""
            return short(f"{status['name']} {kind}{code}: {state.get('reason', '')} {state.get('message', '')}".strip())
    return ""


def stepped(age: float) -> int:
    return int(age // AGE_STEP) * AGE_STEP


def short(text: str) -> str:
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def _filled(values: Mapping[str, Any]) -> Object:
    """Without what says nothing. Texts are cut."""
    return {
        key: short(value) if isinstance(value, str) else value
        for key, value in values.items()
        if value not in (None, "", [], {})
    }
