"""`python -m tests.support.recorder FOLDER`: what a recording tells about its standstills, and about operator pods."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path

from hack.restarts import clock
from tests.support.recorder.journal import Moment, read
from tests.support.recorder.timeline import longest, timeline


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.recorder", description=__doc__)
    parser.add_argument("recording", type=Path, help="a folder of .cache/recordings, or one of its files")
    parser.add_argument(
        "--least", type=float, default=20, help="seconds from which a standstill is reported (%(default)s)"
    )
    parser.add_argument("--since", default="", metavar="HH:MM:SS", help="leave out what was before")
    parser.add_argument("--until", default="", metavar="HH:MM:SS", help="leave out what came after")
    options = parser.parse_args()
    moments = list(read(options.recording))
    if not moments:
        raise SystemExit(f"{options.recording} holds no recording")
    first = moments[0].at
    begin = _time(options.since, first) if options.since else first
    end = _time(options.until, first) if options.until else moments[-1].at
    print("\n".join(summary([moment for moment in moments if begin <= moment.at <= end], options.least)))


def summary(moments: list[Moment], least: float) -> list[str]:
    """All of a recording that is worth to know."""
    lines = [f"{clock(moment.at)} {note}" for moment in moments for note in moment.notes]
    worst = longest(moments)
    end = "no call was open" if worst is None else f"the longest standstill took {worst.counted:.0f} s"
    return [*lines, *timeline(moments, least), end]


def _time(text: str, near: float) -> float:
    """Seconds since the epoch of that time of day, the first after the recording's begin."""
    day = datetime.fromtimestamp(near)
    at = datetime.strptime(text, "%H:%M:%S").replace(year=day.year, month=day.month, day=day.day)
    return (at if at >= day.replace(microsecond=0) else at + timedelta(days=1)).timestamp()


if __name__ == "__main__":
    main()
