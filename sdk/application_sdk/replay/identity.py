"""The identity of a call: from what it is and where it stands in the route, never from a counter of all calls.

Pure. `replay.route` asks for a key when a call is made and moves lineage on when its result is consumed. The rules
here are a wire format: the version of the replay rules is part of every key. The versions
differ in what of an input its digest is of: in version 1 of all, in version 2 of its `contracts.identity_form`.
"""

from __future__ import annotations

from contextvars import ContextVar
from hashlib import sha256
from json.encoder import encode_basestring as _quoted
from typing import Final

from application_sdk.wire.digest import DIGEST_LENGTH, digest
from application_sdk.wire.fields import KNOWN_REPLAY_RULES, REPLAY_RULES, Identity

ROOT: Final = ""
"""Lineage of a branch that has consumed nothing yet."""

lineage: ContextVar[str] = ContextVar("application_sdk.lineage", default=ROOT)
"""Identity of the last checkpoint that this asyncio branch consumed. Each asyncio Task inherits its parent's when it is
created; timers leave it as it is, so that a pause can be added or dropped without shifting what follows."""


def consumed(task: str, input_digest: str) -> str:
    """The lineage of a branch that has just consumed the completion of this call."""
    return f"{task}:{input_digest}"


class Identities:
    """Hands out the identities of one execution of a route. Equal calls are told apart by their order."""

    __slots__ = ("_counts", "_entrypoint", "_quoted_entrypoint", "_rules")

    def __init__(self, entrypoint: str, rules: int = REPLAY_RULES) -> None:
        self._rules = rules
        self._entrypoint = entrypoint
        self._quoted_entrypoint = _quoted(entrypoint)
        self._counts: dict[tuple[str, str, str], int] = {}

    def next(self, task: str, input_digest: str, keyed_by: str | None = None) -> Identity:
        """The identity of a call that is made now, in the current branch."""
        if keyed_by is not None:
            return Identity(inputDigest=input_digest, lineage=ROOT, occurrence=0, keyedBy=keyed_by)
        same = (task, input_digest, lineage.get())
        occurrence = self._counts.get(same, 0)
        self._counts[same] = occurrence + 1
        return Identity(inputDigest=input_digest, lineage=same[2], occurrence=occurrence)

    def key(self, task: str, identity: Identity) -> str:
        """The key of the call with this identity, 32 hexadecimal digits."""
        if "keyedBy" in identity:
            return digest([self._rules, self._entrypoint, task, identity["keyedBy"]])
        # The canonical JSON of the list of these parts, put together by hand: this is done for every call of a replay.
        parts = (
            str(self._rules),
            self._quoted_entrypoint,
            _quoted(task),
            _quoted(identity["inputDigest"]),
            _quoted(identity["lineage"]),
            str(identity["occurrence"]),
        )
        return sha256(f"[{','.join(parts)}]".encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]


def rules_of(key: str, entrypoint: str, task: str, identity: Identity) -> int | None:
    """The version of the replay rules under which a recorded call was made; None for one that this SDK doesn't know.

    The version is part of each key, so any call says it, and nobody needs to write it down.
    """
    return next(
        (rules for rules in KNOWN_REPLAY_RULES if Identities(entrypoint, rules).key(task, identity) == key), None
    )
