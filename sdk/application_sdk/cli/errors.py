"""What can be wrong with a command line beyond its options."""

from __future__ import annotations

from application_sdk.errors import AppError


class InputError(AppError):
    """What was given with `--input` isn't a JSON object; or options contradict one another."""


class RunNotFoundError(AppError):
    """No place has a run of that name. The message says where was looked, and what names are similar."""


class AmbiguousNameError(AppError):
    """The letters that were given begin more than one name."""
