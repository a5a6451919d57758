"""How a run is shown while it is executed: a line for each event, or, on a terminal, a table that keeps itself current.

`run_session` passes a display's `notice` to the engine as its observer. Displays decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from typing_extensions import override

from application_sdk.cli.output import app_output, notify
from application_sdk.cli.views.task_counters import TaskCounter, TaskCounters
from application_sdk.engines.local.events import AttemptFailed, Event, NotForked, NotYielding, Replayed
from application_sdk.engines.local.render import duration, format_event
from application_sdk.wire.printable import printable, printable_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


class Display(Protocol):
    """Shows a run while it is open."""

    def notice(self, notice: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Silent:
    """Shows nothing."""

    def notice(self, notice: Event) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class Lines(Silent):
    """A line for each event, for pipes and logs. The lines' form is for people and may change."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    @override
    def notice(self, notice: Event) -> None:
        text = format_event(notice, self._clock())
        if text is not None:
            notify(text)


class Table(Silent):
    """A row for each task of the app, with its calls counted; failures scroll by above it."""

    def __init__(self, console: Console, title: str) -> None:
        from rich.live import Live

        self._console = console
        self._counters = TaskCounters()
        self._title = title
        self._app_output = ExitStack()
        self._started = time.monotonic()
        self._live: Live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=False)

    @override
    def notice(self, notice: Event) -> None:
        self._counters.notice(notice)
        if isinstance(notice, Replayed | AttemptFailed | NotYielding | NotForked):
            from rich.text import Text

            self._console.print(Text(printable(format_event(notice, time.time()) or ""), "yellow"))

    @override
    def __enter__(self) -> Self:
        self._live.start()
        # Outside of what the live display puts in the place of the streams, so that it gets printable text.
        self._app_output.enter_context(app_output())
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._counters.close()
        self._app_output.close()
        self._live.stop()

    def _render(self) -> RenderableType:
        from rich.spinner import Spinner
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        spent = duration(time.monotonic() - self._started)
        table.add_row("", Text(printable_line(self._title), "bold"), "", Text(spent, "dim"))
        for counter in self._counters.rows():
            mark: RenderableType = Text(*_mark(counter))
            if counter.unfinished and not self._counters.closed:
                mark = Spinner("dots", style="cyan")
            count = f"{counter.done}/{counter.calls}"
            remark = Text(printable_line(counter.remark(time.time())), "dim")
            table.add_row(mark, Text(printable_line(counter.task)), count, remark)
        return table


def _mark(counter: TaskCounter) -> tuple[str, str]:
    if counter.failed:
        return "✗", "red"
    return ("✓", "green") if counter.done == counter.calls else ("·", "dim")
