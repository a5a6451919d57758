"""The words for why an attempt ended, the same on every engine, and others that operator and
command line share.

`TaskFailedError.type` is one of these words, or the class of the exception that the task raised.
Routes branch on it, so the same end has the same word on a laptop and on a cluster. Metrics,
`apprun describe` and the docs use them too.
"""

from __future__ import annotations

from typing import Final

NO_CONTACT: Final = "NoContact"
"""A driver's pod runs, and hasn't reached the API server."""
ROUTE_NOT_YIELDING: Final = "RouteNotYielding"
"""A driver says that its route computes without ever waiting."""

COMPLETED: Final = "Completed"
"""The attempt brought a result. Only histories have this word."""

# What the task's own code, or what it uses, did. Every engine tells these apart, in-process
# attempts excepted.

TIMED_OUT: Final = "TimedOut"
"""A time limit of the attempt, or of the whole call, was over."""
INVALID_INPUT: Final = "InvalidInput"
"""The input doesn't fit the task's Input class."""
TASK_NOT_FOUND: Final = "TaskNotFound"
"""The app has no task of that name."""
LOAD_FAILED: Final = "LoadFailed"
"""The app's module can't be imported."""
NO_PROGRESS: Final = "NoProgress"
"""The stall watchdog ended the attempt."""
HEARTBEAT_LOST: Final = "HeartbeatLost"
"""The attempt's process gave no heartbeat for too long, and ended itself."""
PROCESS_DIED: Final = "ProcessDied"
"""The attempt's process ended without a report: by a signal, or with an exit code other than 0."""
NO_REPORT: Final = "NoReport"
"""The attempt's process ended without a report, with exit code 0."""

# What happened to the attempt from outside.

CANCELLED: Final = "Cancelled"
"""The run was cancelled, and the attempt with it."""
ABANDONED: Final = "Abandoned"
"""The route no longer waits for the call, so its attempt was cancelled."""
TERMINATED: Final = "Terminated"
"""Somebody ended the attempt's process with SIGTERM."""

ON_EVERY_ENGINE: Final = frozenset(
    {TIMED_OUT, INVALID_INPUT, TASK_NOT_FOUND, LOAD_FAILED, NO_PROGRESS, HEARTBEAT_LOST, PROCESS_DIED, NO_REPORT,
     CANCELLED, ABANDONED, TERMINATED}
)  # fmt: skip
"""The local engine has all of these, and so has a cluster."""

# Only a cluster sees these, since it has containers and nodes.

OOM_KILLED: Final = "OOMKilled"
"""The container used more memory than its limit. A laptop has no such limit: its kernel ends the
process with SIGKILL, which is `ProcessDied`."""
STORAGE_LIMIT_EXCEEDED: Final = "StorageLimitExceeded"
"""The attempt wrote more to its disk than it may."""
REPORT_REFUSED: Final = "ReportRefused"
"""The API server takes no report of the attempt."""
REFUSED: Final = "Refused"
"""The API server refused what the attempt's pod wrote."""
NODE_LOST: Final = "NodeLost"
"""The node stopped answering."""
NODE_REBOOTED: Final = "NodeRebooted"
"""The node came back without the container."""
POD_DELETED: Final = "PodDeleted"
"""Somebody deleted the pod."""
EVICTED_BY_QUEUE: Final = "EvictedByQueue"
"""Kueue took back the place in its queue."""
POD_FAILED: Final = "PodFailed"
"""The pod failed before its container started, and nobody says why."""
NOT_STARTED: Final = "NotStarted"
"""No node started the pod in time."""
CORRECTED: Final = "Corrected"
"""The app was corrected, so the pod was made again."""
NOT_ACKNOWLEDGED: Final = "NotAcknowledged"
"""The warm pod that the call was assigned to neither began nor reported it in time."""
PARKED: Final = "Parked"
"""The driver left while its route waited. It costs nothing, and is charged to nobody."""

ON_A_CLUSTER: Final = frozenset(
    {OOM_KILLED, STORAGE_LIMIT_EXCEEDED, REPORT_REFUSED, REFUSED, NODE_LOST, NODE_REBOOTED, POD_DELETED, POD_FAILED,
     NOT_STARTED, CORRECTED, NOT_ACKNOWLEDGED, EVICTED_BY_QUEUE, PARKED}
)  # fmt: skip

# Only a laptop sees these: its runs end with the process that executes them. None is charged to the
# task.

EXECUTOR_LOST: Final = "ExecutorLost"
"""The process that attempts are forked from, or the whole run, was killed, and the attempt with
it."""
INTERRUPTED: Final = "Interrupted"
"""The run was stopped."""

ON_A_LAPTOP: Final = frozenset({EXECUTOR_LOST, INTERRUPTED})
