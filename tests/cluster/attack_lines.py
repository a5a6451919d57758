"""One attack is one line: who asks, what for, and the answer that is right, with its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MERGE = "application/merge-patch+json"
OPERATIONS = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
STRATEGIC = "application/strategic-merge-patch+json"
PLAIN = "application/json"
ANONYMOUS = 999
"""In place of a code."""
FORCED = "?fieldManager=attacker&force=true"

NOT_CURRENT = "apprun: not the current attempt"
NOT_A_POD = "apprun: not a pod of this namespace"
NOT_YOURS = "apprun: not yours to write"
FINISHED = "apprun: already finished"
NOT_THE_DRIVER = "apprun: not the driver of this run"
NOT_OWNED = "apprun: not owned by its run"
UNTOUCHABLE = "apprun: tasks are written by their run's driver and by the operator only"
PROTECTED = "apprun: a finished task can't be deleted"
LEDGER = "apprun: the ledger is written by the operator only"
STATUS = "apprun: the status of apps and runs is written by the operator only"

REPORT: dict[str, Any] = {"status": {"phase": "Succeeded", "output": {"stolen": True}}}
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


@dataclass(frozen=True)
class Attack:
    """`code` below 300: it is no attack, but right. Such lines show that the others aren't refused for nothing."""

    who: str
    method: str
    target: str
    body: Any = None
    code: int = 403
    words: str = ""
    content: str = PLAIN
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def codes(self) -> tuple[int, ...]:
        """Of who has no credentials, an API server that takes anonymous requests says that he may not, others that they
        don't know him."""
        return (401, 403) if self.code == ANONYMOUS else (self.code,)

    @property
    def name(self) -> str:
        content = {PLAIN: "", MERGE: "", OPERATIONS: " operations", APPLY: " apply", STRATEGIC: " strategic"}
        return f"{self.who} {self.method} {self.target}{content.get(self.content, ' ' + self.content)}"


def merge(who: str, target: str, body: Any, words: str, code: int = 403) -> Attack:
    return Attack(who, "PATCH", target, body, code, words, MERGE)


def operations(who: str, target: str, words: str, *steps: tuple[str, str, Any], code: int = 403) -> Attack:
    """A JSON patch of such steps: operation, path, value; of a `move` and a `copy` the value is where it comes from."""
    body = [
        {"op": op, "path": path}
        | ({"from": value} if op in ("move", "copy") else {} if op == "remove" else {"value": value})
        for op, path, value in steps
    ]
    return Attack(who, "PATCH", target, body, code, words, OPERATIONS)


def apply(who: str, target: str, body: Mapping[str, Any], words: str, code: int = 403) -> Attack:
    """Server-side apply, forced."""
    typed = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppTask", **body}
    return Attack(who, "PATCH", target + FORCED, typed, code, words, APPLY)


def cannot(who: str, method: str, target: str, body: Any = None, verb: str = "") -> Attack:
    """Refused by the roles alone, before any policy is asked."""
    content = MERGE if method == "PATCH" else PLAIN
    return Attack(who, method, target, body, 403, f"cannot {verb or VERBS[method]} resource", content)


def may(who: str, method: str, target: str, body: Any = None, content: str = PLAIN) -> Attack:
    """No attack: what is everybody's right."""
    return Attack(who, method, target, body, 200, "", content)
