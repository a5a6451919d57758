"""Which mode the gate before a route has in a run: the one that the run began with, whatever the app says by now.

The gate's call has the same key in each run of an entry point, and its input tells the mode. So the ledger, or the call
under way, says it; a run that has neither that call nor any other begins now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from application_sdk.execution.definition import PREFLIGHT, GateMode, GateSettings
from application_sdk.execution.engine import Engine
from application_sdk.replay.identity import ROOT, Identities
from application_sdk.wire.fields import Identity

NAME: Final = "gate"
"""By which the call is keyed."""


def mode_of_run(settings: GateSettings, entrypoint: str, rules: int, engine: Engine, past: Collection[str]) -> GateMode:
    """The mode that the run has. `rules` are its replay rules, `past` the keys of its ledger."""
    under_way = engine.in_flight()
    # guard: gate-mode-fixed - a run that began under one mode would be refused half-way under another
    if not past and not under_way:
        return settings.mode_of(entrypoint)
    gate = Identity(inputDigest="", lineage=ROOT, occurrence=0, keyedBy=NAME)
    key = Identities(entrypoint, rules).key(PREFLIGHT, gate)
    if key not in past and key not in under_way:
        return "off"
    recorded = engine.recorded(key)
    gate_input: Mapping[str, object] = {} if recorded is None else recorded.input
    return "soft" if gate_input.get("mode") == "soft" else "hard"
