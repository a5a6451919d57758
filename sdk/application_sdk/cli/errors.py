"""Errors of a command line that its parser can't see."""

from __future__ import annotations

from application_sdk.errors import AppError


class InputError(AppError):
    """The value of `--input` isn't a JSON object, or options contradict one another."""


class RunNotFoundError(AppError):
    """No source has a run of that name. The message names the sources and similar names."""


class AmbiguousNameError(AppError):
    """The prefix matches more than one name."""
