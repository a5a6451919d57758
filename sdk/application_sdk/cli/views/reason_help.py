"""What each reason means and what to do about it: the table behind `apprun describe` and the troubleshooting page.

Pure data. A reason is the word that conditions, attempts and errors carry; `operations` tables name the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Remedy:
    """One reason. Texts are whole sentences; `{run}` is the run's name, `{app}` its app's."""

    cause: str
    action: str


RUN: Final[dict[str, Remedy]] = {
    "NotSeen": Remedy(
        "No operator has processed the run yet.",
        "If this lasts for more than a few seconds, the operator isn't running, or doesn't serve this namespace:"
        " `apprun doctor` says which.",
    ),
    "Interrupted": Remedy(
        "The process that executed the run ended before the run did. Everything that is committed is safe.",
        "`apprun resume {run}` goes on from the last checkpoint.",
    ),
    "Suspended": Remedy(
        "The run is suspended: no further pods are started.",
        "`apprun resume {run}` lets it go on.",
    ),
    "Cancelling": Remedy(
        "The run is being cancelled: its route and `on_complete` have `cancelGraceSeconds` to clean up.",
        "Wait. What still runs after that is stopped.",
    ),
    "Restored": Remedy(
        "A backup tool, or a copy of the manifest, has brought the run back without its status: what it did is lost.",
        "`apprun import FILE` brings its past back from a full backup. `kubectl annotate apprun {run}"
        " apprun.dev/began-as-` runs it from the start. Or delete it.",
    ),
    "Restoring": Remedy(
        "`apprun import` is bringing the run back.",
        "Wait. If the import was interrupted, import the same file again, or delete the run.",
    ),
    "MarkRefused": Remedy(
        "The operator may not set the annotation `apprun.dev/began-as`, without which it begins no run.",
        "The message says who refuses it: a policy of the cluster, or a role that isn't the chart's any more. It is"
        " tried again at least every minute.",
    ),
    "AppNotFound": Remedy(
        "The run names an App that isn't in its namespace.",
        "`apprun deploy FILE.py` with that name, or submit the run for an App that is there. It starts as soon as the"
        " App is there.",
    ),
    "AppMissing": Remedy("The run names no app.", "Give it `spec.appRef.name`, or `spec.app` with the app inline."),
    "LoadFailed": Remedy(
        "The app's class can't be loaded: its module isn't there or fails when it is imported.",
        "Correct the code, the `entry` or the image, then deploy again: a run that has committed nothing starts at"
        " once with it.",
    ),
    "EntrypointNotFound": Remedy(
        "The app has no entry point of that name.",
        "The message lists those it has. Submit the run again with `--entrypoint`.",
    ),
    "InvalidInput": Remedy(
        "The input doesn't fit the entry point's Input class, or is too large.",
        "The message names the field, or the size. Submit the run again with a correct `--input`.",
    ),
    "AppNotInspected": Remedy(
        "The App starts no run before its code was inspected, because its `contractChanges` is `Refuse`.",
        "Wait, or see in `kubectl describe app {app}` what holds up the inspection.",
    ),
    "ContractRefused": Remedy(
        "The App's new code changes what its entry points or tasks take or return, and its `contractChanges` is"
        " `Refuse`.",
        "Put the App back, give the new fields defaults, or allow the change with `contractChanges: Warn`. Runs that"
        " wait begin by themselves.",
    ),
    "CodeChanged": Remedy(
        "Somebody has edited or deleted the ConfigMap with the run's code, so no further pod starts with it.",
        "Put the ConfigMap back as it was: the run goes on by itself. Or cancel it and submit a new one. Give each"
        " version of the code a ConfigMap of its own.",
    ),
    "NonDeterministicRun": Remedy(
        "The route made other calls than the ledger holds: its code, or something that it reads, has changed.",
        "Put back the code that the run began with, or submit a new run. `apprun export {run}` and `apprun check"
        " --replay` show it without a cluster.",
    ),
    "LedgerUnreadable": Remedy(
        "A part of the run's past was deleted or altered, so nothing is done again and nothing goes on.",
        "Find out who did it, and put it back; or cancel the run and submit a new one.",
    ),
    "ImagePullFailed": Remedy(
        "The image can't be pulled.",
        "Correct the image's name in the App, push it, or give the cluster access to the registry: pull secrets go into"
        " the pod's service account. While it waits, the pod is made again after 30 s, then less often, at last every"
        " 5 min, so that it is given what has changed.",
    ),
    "InitContainerFailed": Remedy(
        "An init container or a native sidecar that something else adds to the pod (a mesh, an agent for secrets) can't"
        " start or fails, so the task can't begin.",
        "The message names the container. Whoever adds it has to correct it. The pod is made again after 10 to 30 s,"
        " then less often, at last every 5 min, for as long as it takes. Nothing is charged to the task.",
    ),
    "SchedulingGated": Remedy(
        "The pod is queued: somebody's scheduling gates hold it back from the scheduler, as Kueue does.",
        "The message names the gates. It starts when they are opened, and AppRun sets it no time limit: look into the"
        " queue (with Kueue: `kubectl get workloads`).",
    ),
    "ContainerNotStarted": Remedy(
        "Kubernetes can't start the container.",
        "The message is the kubelet's: a missing `python3`, Secret or ConfigMap, for example. Correct the App.",
    ),
    "SdkNotFound": Remedy(
        "The image has no AppRun SDK.",
        "Build the image FROM the runtime image, or name no image and deploy the code alone.",
    ),
    "PodForbidden": Remedy(
        "The API server refuses the pod: Pod Security, an admission policy or a webhook of the cluster is against it.",
        "The message is the policy's own. Change what it names in the App, or the policy.",
    ),
    "PodInvalid": Remedy(
        "The API server calls the pod invalid: one of its fields has a value that Kubernetes doesn't know or take.",
        "The message names the field. Correct `@task(...)` or the App's `spec.pod`.",
    ),
    "SecretNotFound": Remedy(
        "A Secret that the App declares isn't in this namespace.",
        "Create it: the pod starts by itself a minute or two later. Or correct the App's `spec.secrets`.",
    ),
    "SecretKeyNotFound": Remedy(
        "A Secret that the App declares has no such key.",
        "Add the key to the Secret, or correct the App's `spec.secrets`.",
    ),
    "VolumeNotMounted": Remedy(
        "A volume of the pod can't be mounted.",
        "The message is the kubelet's: a claim or ConfigMap that isn't there, or a driver that fails. Correct it; the"
        " pod starts by itself.",
    ),
    "ServiceAccountNotFound": Remedy(
        "The service account isn't in this namespace.",
        "Create it (`kubectl create serviceaccount NAME`): the call begins by itself then. Or correct the App's"
        " `serviceAccountName`, or `service_account` of `@task`. It is waited for as long as for a node"
        " (`pendingTimeoutSeconds`).",
    ),
    "ServiceAccountNotAllowed": Remedy(
        "The app, or a task, asks for a service account of AppRun's own.",
        "Name an account of yours in the App's `serviceAccountName` or `@task(service_account=...)`, or leave it out.",
    ),
    "PodNameTaken": Remedy(
        "A pod that isn't AppRun's has the name.", "Delete it, or submit the run under another name."
    ),
    "NameTaken": Remedy(
        "An AppTask of an earlier run of the same name is still there.",
        "Delete it, or submit the run under another name.",
    ),
    "ContinuationRefused": Remedy(
        "The run that this one continues as can't be created.",
        "The message is the API server's. It is tried again at least every minute.",
    ),
    "OperatorNotAllowed": Remedy(
        "The operator may not create pods here, or not the service accounts that they need.",
        "Its role isn't the chart's any more: `helm upgrade` puts it back. `apprun doctor` looks at it.",
    ),
    "Unreadable": Remedy(
        "This version of the operator can't read the object.", "Upgrade the operator, or correct the object."
    ),
    "QuotaExceeded": Remedy(
        "The namespace's quota has no room for the pod.",
        "Wait until others end, lower `--parallelism`, or raise the quota. Nothing is charged to the task.",
    ),
    "Unschedulable": Remedy(
        "No node takes the pod.",
        "Compare what the task asks for (cpu, memory, node selector, tolerations) with what nodes have: `kubectl get"
        " nodes`, `kubectl describe node`. Nothing is charged to the task.",
    ),
    "NoContact": Remedy(
        "The route's pod runs, and has not reached the API server.",
        "A NetworkPolicy without an egress rule to the API server, a RoleBinding that was pruned or altered, or a"
        " service mesh: `apprun doctor -n NAMESPACE` looks for each, `apprun logs {run}` has the pod's own words. The"
        " operator puts back missing accounts and bindings by itself.",
    ),
    "Parked": Remedy(
        "The route waits, and its driver has left until there is a result. It costs nothing meanwhile.",
        "Nothing. The next result starts another driver. `parkAfterSeconds: 0` in the App keeps the driver.",
    ),
    "RouteNotYielding": Remedy(
        "The route computes without waiting for anything, so nothing else of the run goes on.",
        "The message has the line. Move long computations into a `@task`; a loop that never ends needs an end. Correct"
        " it, cancel the run and submit a new one.",
    ),
    "AdmissionUnavailable": Remedy(
        "An admission webhook of the cluster doesn't answer.",
        "Mend the webhook; the pod is tried again at least every minute.",
    ),
    "PodTerminating": Remedy(
        "The call's AppTask was deleted and made again, and the pod of the first one is still being stopped.",
        "Wait; the new one starts when that one is gone.",
    ),
    "TimedOut": Remedy(
        "The time limit was over: the run's `timeoutSeconds`, or a task's `timeout_seconds`.",
        "Raise the limit, or find out in the logs what took so long.",
    ),
    "Cancelled": Remedy("Somebody cancelled the run.", "Submit a new one, if that was wrong."),
}
"""Why a run is where it is, or a call can't start."""

ATTEMPT: Final[dict[str, Remedy]] = {
    "OOMKilled": Remedy(
        "The container used more memory than its limit.",
        "Raise `memory` in `@task`, or in the App's `spec.pod`; or use less.",
    ),
    "TimedOut": Remedy(
        "The attempt took longer than `timeout_seconds`, or the call longer than `schedule_to_close_seconds`.",
        "Raise the limit, or find out in the logs what took so long.",
    ),
    "HeartbeatLost": Remedy(
        "The process gave no heartbeat within `heartbeat_timeout_seconds`.",
        "Something blocks it; the traceback shows where. Beat more often, or raise the limit.",
    ),
    "NoProgress": Remedy(
        "The task reported no progress within `max_no_progress_seconds`.",
        "The traceback shows where it stood. Report progress more often, or raise the limit.",
    ),
    "ProcessDied": Remedy(
        "The attempt's process ended without a result: by a signal, or with an exit code of its own.",
        "The end of its log shows what it did last: `apprun logs {run}`. On this machine SIGKILL mostly comes from the"
        " kernel, for want of memory: run fewer tasks side by side with `--parallelism`.",
    ),
    "NoReport": Remedy(
        "The attempt's process ended with exit code 0 and reported nothing.",
        "The code calls `sys.exit` or `os._exit`: raise an exception, or return.",
    ),
    "StorageLimitExceeded": Remedy(
        "The attempt wrote more to its disk than it may.",
        "Write less to /tmp, or raise the limit that the message names: the chart's `tmpSizeLimit` or the namespace's.",
    ),
    "ReportRefused": Remedy(
        "The API server takes no report of this attempt.",
        "The message is its answer; an output that is too large, for example: put it into a store and return its name.",
    ),
    "Refused": Remedy(
        "The API server refused what the pod wrote.",
        "Another attempt had taken over, or the admission policy isn't the chart's: `apprun doctor`.",
    ),
    "NodeLost": Remedy(
        "The node stopped answering.", "Nothing: the call was started elsewhere, at the cluster's account."
    ),
    "NodeRebooted": Remedy("The node came back without the container.", "Nothing: the call was started again."),
    "Evicted": Remedy(
        "The pod was evicted: a drain, or a node that was short of something.",
        "Nothing, if it was a drain. Else ask for the memory and disk that the task needs.",
    ),
    "EvictedByQueue": Remedy(
        "Kueue took the pod's place in the queue back, for a workload of higher priority or a team whose quota was"
        " lent. The message has Kueue's words.",
        "Nothing: the call waits in the queue again, and no retry was charged.",
    ),
    "Preempted": Remedy(
        "A pod of higher priority took its place.",
        "Nothing; or give the App a `priorityClassName` of its own.",
    ),
    "TerminatedByNode": Remedy(
        "The node ended the pod, for a shutdown or for want of resources.", "Nothing: the call was started again."
    ),
    "PodDeleted": Remedy("Somebody deleted the pod before it could report.", "Nothing: the call was started again."),
    "Terminated": Remedy("Somebody stopped the process.", "Nothing: the call was started again."),
    "ExecutorLost": Remedy(
        "The whole run, or the process that attempts come from, was killed on this machine, and the attempt with it.",
        "Nothing: the call was made again.",
    ),
    "Abandoned": Remedy(
        "The route no longer waits for the call, since a time limit or a cancellation of its own ended the wait: the"
        " attempt was cancelled.",
        "Nothing. If the call should have ended in time, see in the logs what took so long.",
    ),
    "TaskNotFound": Remedy(
        "The app has no task of that name.", "It was renamed while a run used it: give it its old name back."
    ),
    "Corrected": Remedy("The app was corrected, so the pod was made again.", "Nothing."),
    "PodFailed": Remedy(
        "The pod failed before its container started, and nobody says why.", "Nothing: the call was started again."
    ),
    "Interrupted": Remedy("The run was stopped while the attempt was under way.", "Nothing: the call was made again."),
    "PreflightFailedError": Remedy(
        "The handler's preflight check says that the run wouldn't find what it needs, so its route wasn't begun.",
        "Mend what the message names, then submit a new run; on this machine `apprun retry {run}`.",
    ),
    "NotAcknowledged": Remedy(
        "The warm pod that the call was assigned to didn't begin it in time.",
        "Nothing, if it is rare: the next attempt is charged to nobody. If it isn't, give the pool more replicas, or "
        "look at the pods: `kubectl get appworkers`.",
    ),
    "NotStarted": Remedy(
        "No node started the pod in time.",
        "Look at the nodes: `kubectl get nodes`, and the pod's events with `kubectl describe pod`.",
    ),
}
"""Why an attempt ended. Those of `RUN` occur here too; any other word is the class of the exception that was raised."""

APP: Final[dict[str, Remedy]] = {
    "Inspecting": Remedy(
        "A pod imports the App's code, to find out what it contains.", "Wait: it takes as long as a pod and the import."
    ),
    "NoReport": Remedy(
        "The inspection's process ended without a report.",
        "The module calls `os._exit` when it is imported, or meddles with what is reported. Don't.",
    ),
    "ContractChanged": Remedy(
        "The published code takes or returns something else than the version before. The message names each change.",
        "Nothing, if that is meant: runs under way keep their code. Else put it back, or give new fields defaults.",
    ),
    "UnknownTask": Remedy(
        "`spec.tasks` of the App names a task that its code doesn't have. Its runs stall for the same reason.",
        "Correct the name, or delete the entry. The message lists the tasks.",
    ),
    "NotInspected": Remedy(
        "The App's name has more than 63 characters, which no label holds.",
        "It runs all the same, unchecked. Give it a shorter name.",
    ),
    "HandlerStarting": Remedy("The pods that serve the App over HTTP start.", "Wait."),
    "HandlerSlow": Remedy(
        "The pods that serve the App don't answer.", "The message says where to look: their log, their events."
    ),
    "HandlerRefused": Remedy(
        "The API server refuses what serves the App.", "The message is its answer: a quota, a policy, a wrong quantity."
    ),
    "NameTooLong": Remedy("A Service can't have that long a name.", "Give the App a shorter name."),
}
"""Why an App isn't ready. Those of `RUN` occur here too: `LoadFailed`, `ImagePullFailed`, `QuotaExceeded` and so on."""

RAISED: Final = Remedy(
    "The task's own code raised it.",
    "`apprun logs {run} {task}` shows what it had written. Correct it, deploy again, and submit a new run.",
)
CAUGHT: Final = Remedy("The task's own code raised it.", "`apprun logs {run} {task}` shows what it had written.")
RAISED_HERE: Final = Remedy(
    "The task's own code raised it.",
    "`apprun logs {run} {task}` shows what it had written. Correct it, then `apprun retry {run}`.",
)


def of_run(reason: str) -> Remedy | None:
    """What is known of a run's reason, or of what a call waits for."""
    return RUN.get(reason)


def of_attempt(reason: str) -> Remedy | None:
    """What is known of an attempt's reason; None for an exception's class."""
    return ATTEMPT.get(reason) or (RUN.get(reason) if reason not in ("Cancelled", "Suspended") else None)


def of_app(reason: str) -> Remedy | None:
    """What is known of the reason for which an App isn't ready."""
    return APP.get(reason) or RUN.get(reason)
