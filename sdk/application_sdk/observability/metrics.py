"""Counters and histograms of an app's own: OpenTelemetry's where the app's image has it, else they
count nothing.

What AppRun itself measures is in docs/operations.md; it needs none of these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any


class NoInstrument:
    """Takes values and drops them."""

    def add(self, amount: float, attributes: object = None, context: object = None) -> None:
        pass

    def record(self, amount: float, attributes: object = None, context: object = None) -> None:
        pass


@functools.cache
def _meter() -> Any:
    try:
        from opentelemetry import metrics  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        return None
    return metrics.get_meter("application_sdk")


def _made(kind: str, name: str, *more: object, unit: str, description: str) -> Any:
    meter = _meter()
    return NoInstrument() if meter is None else getattr(meter, kind)(name, *more, unit=unit, description=description)


def create_counter(name: str, *, unit: str = "", description: str = "") -> Any:
    """A number that grows: `add(1)`."""
    return _made("create_counter", name, unit=unit, description=description)


def create_up_down_counter(name: str, *, unit: str = "", description: str = "") -> Any:
    """A number that grows and shrinks."""
    return _made("create_up_down_counter", name, unit=unit, description=description)


def create_histogram(name: str, *, unit: str = "", description: str = "") -> Any:
    """A distribution: `record(0.3)`."""
    return _made("create_histogram", name, unit=unit, description=description)


def create_observable_gauge(
    name: str, callbacks: Sequence[Callable[..., Any]], *, unit: str = "", description: str = ""
) -> Any:
    """A number that is asked for."""
    return _made("create_observable_gauge", name, callbacks, unit=unit, description=description)
