"""`apprun watch`: a run as it goes on, on a terminal as a table that keeps itself current, else line by line."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from application_sdk.cli import exit_codes
from application_sdk.cli.cluster.errors import WaitedTooLongError
from application_sdk.cli.output import Format, echo, notify, write_json, write_result
from application_sdk.cli.selection import source_of
from application_sdk.cli.sources.protocol import RunSource
from application_sdk.cli.sources.records import TERMINAL_STATES, Call, RunDetails, State
from application_sdk.cli.target import Target
from application_sdk.cli.views import call_tree
from application_sdk.cli.views.json_output import details_as_json
from application_sdk.engines.local.render import duration, one_line
from application_sdk.wire.printable import printable, printable_line
from application_sdk.wire.reasons import COMPLETED

if TYPE_CHECKING:
    from rich.console import RenderableType

_PRINTED_STATES: Final = frozenset({"Running", "Waiting", "Retrying", "Sleeping", "Succeeded", "Failed", "Cancelled"})
_LINES_BESIDE_TABLE: Final = 4
"""Lines that a terminal needs beside the table."""


def watch_run(target: Target, run: str, format: Format, timeout: float | None) -> int:
    """Watch a run until it is over or stalled. Returns the exit code: its outcome."""
    import sys

    source, name = source_of(target, run)
    changes = _until(source.changes(name), timeout, name)
    if format.for_programs:
        last = _as_json(changes)
        if format is Format.YAML:
            write_result(details_as_json(last), format)
    elif sys.stdout.isatty():
        last = _live(changes, source)
    else:
        last = _lines(changes)
    run_now = last.run
    if run_now.phase == "Interrupted":
        notify(f"no process executes {name}; go on with `apprun resume {name}`", "yellow")
        return exit_codes.INTERRUPTED
    if run_now.phase in ("Failed", "Stalled"):
        notify(f"`apprun describe {name}` says why, and what to do", "dim")
    return exit_codes.of_phase(run_now.phase)


def _until(changes: Iterator[RunDetails], timeout: float | None, run: str) -> Iterator[RunDetails]:
    """The same, read by a thread, so that a limit holds however long nothing changes."""
    if timeout is None:
        yield from changes
        return
    news: queue.Queue[RunDetails | Exception | None] = queue.Queue()

    def read() -> None:
        try:
            for details in changes:
                news.put(details)
        except Exception as error:  # noqa: BLE001 - raised by the thread that has the terminal
            news.put(error)
        news.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + timeout
    while True:
        try:
            item = news.get(timeout=max(deadline - time.monotonic(), 0.001))
        except queue.Empty:
            raise WaitedTooLongError(f"run {run!r} isn't over after {timeout:g} s; it goes on") from None
        if item is None:
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _as_json(changes: Iterator[RunDetails]) -> RunDetails:
    """A line of JSON for each change, as `show -o json` writes it."""
    last: RunDetails | None = None
    for last in changes:
        write_json(details_as_json(last))
    assert last is not None
    return last


def _lines(changes: Iterator[RunDetails]) -> RunDetails:
    states: dict[str, State] = {}
    attempts: dict[str, int] = {}
    phase, message, last = "", "", None
    for last in changes:
        if (last.run.phase, last.run.message) != (phase, message):
            phase, message = last.run.phase, last.run.message
            suffix = f": {message}" if message and message != phase else ""
            echo(f"{last.run.name}: {phase}{suffix}", call_tree.STYLES.get(phase, ""))
        for call in last.calls:
            for text in _ended_attempts(call, attempts):
                echo(text, "yellow")
            if states.get(call.key) != call.state and call.state in _PRINTED_STATES:
                echo(_line(call), call_tree.STYLES.get(call.state, ""))
            states[call.key] = call.state
    assert last is not None
    return last


def _ended_attempts(call: Call, printed: dict[str, int]) -> Iterator[str]:
    for attempt in call.attempts:
        if attempt.reason not in (None, COMPLETED) and attempt.number > printed.get(call.key, 0):
            printed[call.key] = attempt.number
            first = attempt.message.partition("\n")[0]
            yield f"{call.task}/{call.key[:8]}: attempt {attempt.number} ended, {attempt.reason}: {first}"


def _line(call: Call) -> str:
    node = f" on {call.node}" if call.node else ""
    node += f" in warm pod {call.pod}" if call.pod else ""
    result = ""
    if call.state == "Succeeded" and call.output is not None:
        result = f"  {one_line(call.output, 100)}"
    elif call.error is not None:
        result = f"  {call.error['type']}: {call.error['message']}".partition("\n")[0]
    elif call.message:
        result = f"  {call.message}"
    number = f" (attempt {call.attempt})" if call.attempt > 1 else ""
    return f"{call.task}/{call.key[:8]}: {call.state}{number}{node}{result}"


def _live(changes: Iterator[RunDetails], source: RunSource) -> RunDetails:
    """Redrawn with each change; what is seen last stays on the screen."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    last: RunDetails | None = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for last in changes:
            live.update(_table(last, source.title, console.height - _LINES_BESIDE_TABLE), refresh=True)
    assert last is not None
    return last


def _table(details: RunDetails, source_title: str, height: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now, run = time.time(), details.run
    begun = run.started_at or run.created_at
    spent = duration((run.finished_at or now) - begun)
    phase = printable_line(run.phase)
    title = Text.assemble((printable_line(run.name), "bold"), "  ", (phase, call_tree.STYLES.get(phase, "cyan")))
    title.append(f"  {spent}")
    title.append(printable_line(f"  {_counts(details)}  on {source_title}"), "dim")
    table = Table.grid(padding=(0, 2))
    rows = call_tree.rows(details, now)
    visible = rows if len(rows) <= height else _most_relevant(rows, max(height - 1, 1))
    for row in visible:
        style = call_tree.STYLES.get(row.state, "dim" if not row.state else "")
        cells = [Text(printable_line(cell), no_wrap=True, overflow="ellipsis") for cell in row.cells()]
        cells[1].stylize(style)
        table.add_row(*cells)
    parts: list[RenderableType] = [title, table]
    if len(visible) < len(rows):
        parts.append(
            Text(printable_line(f"… and {len(rows) - len(visible)} more lines: apprun show {run.name}"), "dim")
        )
    if run.error is not None:
        parts.append(Text(printable(f"{run.error['type']}: {run.error['message']}".partition("\n")[0]), "red"))
    elif run.message and run.message != run.phase:
        parts.append(Text(printable(run.message), "yellow"))
    return Group(*parts)


def _most_relevant(rows: list[call_tree.Row], height: int) -> list[call_tree.Row]:
    """What isn't over comes first when there isn't room for all; the order stays."""
    open_rows = [index for index, row in enumerate(rows) if row.state not in TERMINAL_STATES]
    chosen = set(open_rows[:height])
    for index in range(len(rows) - 1, -1, -1):
        if len(chosen) >= height:
            break
        chosen.add(index)
    return [rows[index] for index in sorted(chosen)]


def _counts(details: RunDetails) -> str:
    states: dict[str, int] = {}
    for call in details.calls:
        states[call.state] = states.get(call.state, 0) + 1
    done = states.pop("Succeeded", 0)
    rest = "".join(f", {count} {state.lower()}" for state, count in sorted(states.items()))
    return f"{done}/{len(details.calls)} done{rest}"
