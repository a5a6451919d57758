"""Which service account a pod runs as, and which ones no task may have."""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.records import TaskRecord
from apprun_operator.plan.limits import Limits

NOT_ALLOWED: Final = "ServiceAccountNotAllowed"


def account_of(app: JSONObject, task: TaskRecord) -> str:
    """The service account of the pods of `task`; `app` is the run's, as resolved."""
    if task.role == "driver":
        return names.DRIVER_SERVICE_ACCOUNT
    if task.role != "task":
        # An inspection imports code that nobody has looked at yet: it is given no account of the
        # user's.
        return names.TASK_SERVICE_ACCOUNT
    return str(task.pod.get("serviceAccountName") or app.get("serviceAccountName") or names.TASK_SERVICE_ACCOUNT)


def forbidden_account(account: object, namespace: str, limits: Limits) -> str:
    """Why no task may run as this account; empty for one that it may run as.

    The API server refuses what asks for AppRun's own accounts already. Here are met the objects
    that were stored before it did, and what went past it.
    """
    # guard: account-reserved - a task under an account of AppRun's own could forge reports or calls
    own = account in names.RESERVED_SERVICE_ACCOUNTS or str(account).startswith(f"{names.WORKER_SERVICE_ACCOUNT}-")
    # guard: account-of-operator - a task with the operator's account could do everything that the
    # operator may
    if not own and (namespace, account) != limits.own_account:
        return ""
    return (
        f"service account {account!r} is AppRun's own, and no task runs as it: name another in serviceAccountName of"
        f" the App, or in service_account of @task, or leave it out for {names.TASK_SERVICE_ACCOUNT!r}"
    )


def forbidden_account_of(app: JSONObject, task: TaskRecord, limits: Limits) -> str:
    """The same of what the pods of `task` would run as."""
    if task.role != "task":
        return ""
    return forbidden_account(account_of(app, task), task.meta.key.namespace, limits)
