"""The names that carry identity: API group, object names, labels, annotations, paths inside a pod.

Deterministic names are what makes every create idempotent: a second create of the same thing
collides with the first.
"""

from __future__ import annotations

import re
from typing import Final

GROUP: Final = "apprun.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

APPS: Final = "apps"
APP_RUNS: Final = "appruns"
APP_TASKS: Final = "apptasks"
APP_LEDGERS: Final = "appledgers"
APP_STATES: Final = "appstates"
APP_WORKERS: Final = "appworkers"

APP_KIND: Final = "App"
APP_RUN_KIND: Final = "AppRun"
APP_TASK_KIND: Final = "AppTask"
APP_LEDGER_KIND: Final = "AppLedger"
APP_STATE_KIND: Final = "AppState"
APP_WORKER_KIND: Final = "AppWorker"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "apprun"
RUN_LABEL: Final = f"{GROUP}/run"
CHAIN_LABEL: Final = f"{GROUP}/chain"
"""Of a run that another one continued as: the name of the first run of all."""
TASK_LABEL: Final = f"{GROUP}/task"
ROLE_LABEL: Final = f"{GROUP}/role"
KEY_LABEL: Final = f"{GROUP}/key"
ATTEMPT_LABEL: Final = f"{GROUP}/attempt"
POOL_LABEL: Final = f"{GROUP}/pool"
"""Of warm pods and their AppWorkers: the name of the pool."""

CALL_ANNOTATION: Final = f"{GROUP}/call"
"""Pod annotation with a `fields.Call` as JSON: all that a pod needs to know, so that it reads
nothing from the API."""

IMAGE_ANNOTATION: Final = f"{GROUP}/image"
"""Pod annotation with the image that was asked for: a webhook may have put another one into the
container."""

POD_DIRECTORY: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds `token`, `ca.crt`, `namespace` (as every Kubernetes client expects) and, beside
them, `call`."""
CALL_FILE: Final = "call"
SOURCE_DIRECTORY: Final = "/apprun/source"
"""Where the files of `App.spec.source.configMap` are mounted; first on the import path."""

STORE_DIRECTORY: Final = "/apprun/store"
"""Where a task pod finds the credentials of its file store, a file for each key of the Secret."""
VOLUME_DIRECTORY: Final = "/apprun/volume"
"""Where a task pod finds the volume of a `file://` store."""
STORE_URL_VARIABLE: Final = "APPRUN_STORE_URL"
"""Environment variable with the URL of the file store."""
STORE_OPTIONS_VARIABLE: Final = "APPRUN_STORE_OPTIONS"
"""Environment variable with the store's other options, a JSON object of text."""
NAMESPACE_STORE: Final = "apprun-store"
"""ConfigMap and Secret with the environment variables of a namespace's file store, for apps that
name none."""
SECRETS_DIRECTORY: Final = "/apprun/secrets"
"""Where what `App.spec.secrets` declares is mounted: a folder for each, with a file for each of its
keys."""
SECRETS_VARIABLE: Final = "APPRUN_SECRETS_DIR"
"""Environment variable that names another folder for them, on a laptop or in an image."""
STATE_VARIABLE: Final = "APPRUN_STATE"
"""Environment variable of a task pod with the app's state: a JSON object of the values by key.
Absent: there is none."""

TIMER_TASK: Final = "sleep"
"""What stands for the task where a call is a timer."""
DRIVER_KEY: Final = "driver"
CANCEL_KEY: Final = "cancel"
"""Key of the ledger's entry that answers no call: from there on the run is being cancelled."""
KEY_LENGTH: Final = 32
KEY_PREFIX_LENGTH: Final = 16
RUN_NAME_MAX_LENGTH: Final = 63
"""A run's name is the value of a label, which Kubernetes caps at 63 characters."""
RUN_NAME_PATTERN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
"""Names that a run may be given, on every engine: a run of a laptop may be moved to a cluster."""
_PREFIX: Final = "run-"

INCARNATION_LENGTH: Final = 8
"""So many digits of a run's uid are in the names of its pods: up to the first dash, all of them
hexadecimal."""

POOL_ANNOTATION: Final = f"{GROUP}/pool-shape"
"""Annotation of an AppWorker with all that its pod was made of, as JSON: the operator's own."""
POOL_DIGEST_LENGTH: Final = 8
POOL_APP_MAX_LENGTH: Final = 48
"""So much of its app's name is in a pool's: the names of its pods have to fit into a host name."""
WORKER_SERVICE_ACCOUNT: Final = "apprun-worker"
"""The accounts of warm pods are named after this and their App."""
WORKER_CONTAINER: Final = "worker"

FIRST_ATTEMPT: Final = 1
"""A status without an attempt means this one, so a first attempt needs no write of its own before
its pod."""

TASK_SERVICE_ACCOUNT: Final = "apprun-task"
DRIVER_SERVICE_ACCOUNT: Final = "apprun-driver"
HANDLER_SERVICE_ACCOUNT: Final = "apprun-handler"
TOKEN_REVIEW_ROLE: Final = "apprun-token-review"
"""ClusterRole that lets handlers ask whose token a caller has sent. Kubernetes knows no such right
of one namespace."""
RESERVED_SERVICE_ACCOUNTS: Final = (DRIVER_SERVICE_ACCOUNT, HANDLER_SERVICE_ACCOUNT)
"""AppRun's own, that no task runs as: they may call tasks, and start and read runs."""
APP_LABEL: Final = f"{GROUP}/app"
"""Of what serves or inspects an App: its name."""
INSPECT_ANNOTATION: Final = f"{GROUP}/inspect"
"""Annotation of an App: a new value has it inspected anew, though nothing of it has changed."""
BEGAN_AS_ANNOTATION: Final = f"{GROUP}/began-as"
"""Annotation of an AppRun: the uid under which the operator began it. A backup that is restored has
another uid."""
RESTORED_FROM_ANNOTATION: Final = f"{GROUP}/restored-from"
"""Annotation of what `apprun import` creates: the uid of the run that it is a copy of. Such a run
is left alone until its status says `restoredFrom` too, which is the last write of an import."""
RESTORE_VERB: Final = "restore"
"""Verb on AppRuns: whoever has it may write the past of a run that is being imported."""
TAKES_MORE: Final = "x-apprun-takes-more"
"""In a JSON Schema that is published: the code may accept what the schema doesn't."""
EXACT_NUMBER: Final = "apprun.dev/number:"
"""How text in a payload begins that stands for a number, where the number itself wouldn't be read
back as it is."""
INSPECT_TASK: Final = "inspect"
"""What stands for the task where an AppTask is an inspection."""
INSPECTION_KEY_LENGTH: Final = 8
APP_NAME_MAX_LENGTH: Final = 63
"""An App's name is the value of a label of its inspection's pods."""


def run_name_fault(name: str) -> str:
    """Why `name` can't be the name of a run, with what to use instead; empty when it can."""
    if len(name) <= RUN_NAME_MAX_LENGTH and re.fullmatch(RUN_NAME_PATTERN, name):
        return ""
    return (
        f"{name!r} can't be the name of a run: use up to {RUN_NAME_MAX_LENGTH} lower-case letters, digits and dashes, "
        "with no dash first or last"
    )


def slug(text: str) -> str:
    """The lower-case letters and digits of a text, with a dash in place of whatever is between
    them; may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def run_name(app: str, suffix: str) -> str:
    """The name of a run that wasn't given one: the app's, cut to what fits, and a suffix that tells
    it from others.

    It begins with a letter. The server derives the suffix from an idempotency key, so the same app
    and suffix give the same name in every release.
    """
    base = slug(app)[: RUN_NAME_MAX_LENGTH - len(suffix) - len(_PREFIX) - 1].rstrip("-")
    if not base[:1].isalpha():
        base = f"{_PREFIX}{base}".rstrip("-")
    return f"{base}-{suffix}"


def driver_task_name(run: str) -> str:
    """The AppTask that stands for the route of `run`."""
    return f"{run}-{DRIVER_KEY}"


def task_name(run: str, key: str) -> str:
    """The AppTask of the call with this key. 64 bits of it are in the name; the whole key is in its
    spec."""
    return f"{run}-{key[:KEY_PREFIX_LENGTH]}"


def incarnation(owner_uid: str) -> str:
    """What tells a run, or an App, from others of the same name before and after it."""
    return owner_uid[:INCARNATION_LENGTH]


def pod_name(app_task: str, attempt: int, owner_uid: str) -> str:
    """The pod of one attempt of an AppTask, whose owner has this uid: the run, or the App for an
    inspection.

    The admission policies compare this name with the one in the writer's token. A run that is made
    again under its old name has another uid, so no pod of its predecessor has, or can get, the name
    of one of its own.
    """
    # guard: pod-name-of-run - the uid's digits tell pods of this run from those of a deleted run of
    # the same name
    return f"{app_task}-{attempt}-{incarnation(owner_uid)}"


def container_name(role: str) -> str:
    """The container of a call's pod that executes it. Admission webhooks add containers of their
    own, before and after it, so a pod's container is found by this name, never by its place."""
    return role


def handler_name(app: str) -> str:
    """The Deployment and the Service that answer for an App over HTTP."""
    return f"{app}-handler"


def handler_audience(namespace: str, app: str) -> str:
    """The audience of tokens that an App's handler takes. Another app, or one of that name
    elsewhere, has another, so that no app can use the tokens that it is shown on others."""
    return f"{GROUP}/{namespace}/{app}"


def inspection_name(app: str, key: str) -> str:
    """The AppTask that finds out what an App's code contains. Another code has another key, hence
    another name."""
    return f"{app}-inspect-{key[:INSPECTION_KEY_LENGTH]}"


def page_name(run: str, number: int) -> str:
    """The AppLedger with the `number`-th page (from 0) of a run's older checkpoints."""
    return f"{run}-{number}"


def state_name(app: str) -> str:
    """The AppState of an app: an App's has its name, an inline app's that of its class in small
    letters."""
    return app.lower().replace("_", "-")


def pool_name(app: str, digest: str) -> str:
    """The pool of warm pods of an App, or of a run with an app of its own.

    Args:
        app: Name of the owner.
        digest: Of the owner's uid and of all that shapes the pods.
    """
    return f"{app[:POOL_APP_MAX_LENGTH].rstrip('-.')}-w-{digest[:POOL_DIGEST_LENGTH]}"


def slot_name(pool: str, slot: int) -> str:
    """The `slot`-th pod (from 0) of a pool, and the AppWorker that is its inbox.

    No pod that is made for a single call has such a name: those end with digits of a uid.
    """
    return f"{pool}-{slot}"


def worker_account(app: str) -> str:
    """The service account of the warm pods of an app that names none."""
    return f"{WORKER_SERVICE_ACCOUNT}-{app}"
