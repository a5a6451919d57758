"""The message of a run of which some calls wait: `3 of 40 open calls wait, QuotaExceeded (2),
Unschedulable (1): …`.

The operator writes it. The command line and the metrics tell it from what is said of the run's
driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_HEAD: Final = re.compile(r"\d+ of \d+ open calls? waits?(, \w+ \(\d+\))+")
_NUMBER: Final = re.compile(r"\d+")


def calls_wait(reasons: Mapping[str, int], open_calls: int, words: str) -> str:
    """The message. `reasons` has the number of waiting calls for each reason, `words` say what they
    wait for."""
    waiting = sum(reasons.values())
    head = f"{waiting} of {open_calls} open call{'s' if open_calls != 1 else ''} wait{'s' if waiting == 1 else ''}"
    listed = "".join(f", {reason} ({count})" for reason, count in sorted(reasons.items()))
    return f"{head}{listed}: {words}"


def is_of_calls(message: str) -> bool:
    """Whether a run's message is about calls that wait."""
    return _HEAD.match(message) is not None


def is_told(message: str, reason: str) -> bool:
    """Whether a run's message says that calls wait for that reason."""
    match = _HEAD.match(message)
    return match is not None and f", {reason} (" in match[0]


def causes_of(message: str) -> str:
    """What is the same in two such messages that name the same reasons; empty for any other
    message."""
    match = _HEAD.match(message)
    return "" if match is None else _NUMBER.sub("", match[0]).replace("calls", "call").replace("waits", "wait")
