"""What can be wrong with a command line beyond its options."""

from __future__ import annotations

from application_sdk.errors import AppError


class InputError(AppError):
    """What was given with `--input` isn't a JSON object."""
