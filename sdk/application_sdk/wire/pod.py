"""How a pod's end is to be read: exit codes, and what the admission policy answers to a report.

Pods exit with these codes, the operator's planner judges by them. The refusals stand in the chart's
ValidatingAdmissionPolicy; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

EXIT_REPORTED: Final = 0
"""The API server has the outcome of this attempt, good or bad."""
EXIT_REPORT_REFUSED: Final = 69
"""The API server will never take the outcome, not even as an error (sysexits: service
unavailable)."""
EXIT_NOT_ALLOWED: Final = 76
"""The API server has answered all that the pod asked with 401 or 403 for long (sysexits:
protocol)."""
EXIT_FENCED: Final = 77
"""This pod no longer speaks for its task: another attempt took over, or the task is over (sysexits:
no permission)."""
EXIT_NO_CALL: Final = 78
"""The pod was started without a readable call (sysexits: configuration)."""
EXIT_TERMINATED: Final = 143
"""SIGTERM ended the work before there was an outcome. Nothing was reported: the cluster did this,
not the task."""

REFUSED_NOT_CURRENT: Final = "apprun: not the current attempt"
"""The refusal's message holds this text when the writer isn't the pod of the task's current
attempt."""
REFUSED_FINISHED: Final = "apprun: already finished"
"""The same when the task's phase is terminal. After a lost answer it means that the report had come
through."""
REFUSED_CALLS: Final = ("apprun: not a task's service account", "apprun: not an allowed pod field")
"""The same of a call that no driver of the run may make, since its task asks for what an
administrator doesn't allow."""

NODE_NAME_VARIABLE: Final = "APPRUN_NODE_NAME"
"""Environment variable with the node's name, from the downward API."""
LOG_FORMAT_VARIABLE: Final = "APPRUN_LOG_FORMAT"
"""`text` has a pod log for people; anything else, or nothing, in JSON."""
LOG_LEVEL_VARIABLE: Final = "APPRUN_LOG_LEVEL"
"""From which level on a pod logs; INFO when absent."""

POD_NAME_VARIABLE: Final = "APPRUN_POD_NAME"
"""Environment variable of a warm pod with its own name, which is that of its AppWorker too."""
POD_UID_VARIABLE: Final = "APPRUN_POD_UID"
"""The same with its uid."""
POD_NAMESPACE_VARIABLE: Final = "APPRUN_POD_NAMESPACE"
"""The same with its namespace."""
WORKER_ENTRY_VARIABLE: Final = "APPRUN_WORKER_ENTRY"
"""Environment variable of a warm pod: the app's class as `module:Class`."""
WORKER_MODE_VARIABLE: Final = "APPRUN_WORKER_MODE"
"""`process` or `actor`."""
WORKER_CONCURRENCY_VARIABLE: Final = "APPRUN_WORKER_CONCURRENCY"
"""Calls that it executes at a time."""
WORKER_MAX_CALLS_VARIABLE: Final = "APPRUN_WORKER_MAX_CALLS"
"""After so many calls it exits with `EXIT_REPORTED`. Absent: never."""

HANDLER_PORT: Final = 8000
"""Where a handler pod listens."""
HANDLER_APP_VARIABLE: Final = "APPRUN_APP"
"""Environment variable of a handler pod: name of the App object."""
HANDLER_ENTRY_VARIABLE: Final = "APPRUN_ENTRY"
"""The app's class as `module:Class`."""
HANDLER_NAMESPACE_VARIABLE: Final = "APPRUN_NAMESPACE"
"""Namespace of the App, and of the runs that the handler starts."""
