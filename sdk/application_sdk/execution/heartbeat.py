"""`run_in_thread` for helpers that have no `self`, at the App Framework's path."""

from application_sdk.execution.anywhere import run_in_thread

__all__ = ["run_in_thread"]
