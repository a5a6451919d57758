"""`holding_progress` for helpers that have no `self`, at the App Framework's path."""

from application_sdk.execution.anywhere import ProgressWatchdogMode, holding_progress

__all__ = ["ProgressWatchdogMode", "holding_progress"]
