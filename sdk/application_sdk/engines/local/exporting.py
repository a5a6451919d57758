"""A run of this machine as the document that replays are made of. `apprun export` writes it."""

from __future__ import annotations

from typing import cast

from application_sdk.engines.local.ledger import Ledger
from application_sdk.execution.definition import RunInfo
from application_sdk.execution.engine import RecordedCall
from application_sdk.replay.history import ExportedRun
from application_sdk.wire.digest import JSONObject


def export_run(ledger: Ledger) -> ExportedRun:
    """A run's past: its calls and completions, and its end if it has come to one."""
    run = ledger.run()
    # A run that went on as another one has no end of its own that a replay could be held to.
    outcome = run.phase if run.phase in ("Succeeded", "Failed", "Cancelled") and run.continued_as is None else None
    return ExportedRun(
        entry=run.entry,
        entrypoint=run.entrypoint,
        input=run.input,
        info=RunInfo(
            run_id=run.name,
            uid=run.uid,
            started_at=run.created_at,
            correlation_id=run.correlation_id,
            replay_rules=run.replay_rules,
            own_disk=True,
        ),
        calls=[
            RecordedCall(call.key, call.task, call.entrypoint, call.input, call.identity, call.line)
            for call in (record.call for record in ledger.calls())
        ],
        completions=ledger.history(),
        outcome=outcome,
        output=cast("JSONObject | None", run.output) if outcome else None,
    )
