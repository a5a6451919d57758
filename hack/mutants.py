"""`make mutants`: takes away one guard after the other, in a copy of the tree, and shows that some test fails for each.

A guard that no test misses is one that the next change may lose. tests/unit/hack/test_mutants.py holds every entry here
to the code as it is. `--cluster` adds those that only a real API server can miss; it needs a cluster named as
CLUSTER_NAME says, up or not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SDK: Final = "sdk/application_sdk"
OPERATOR: Final = "operator/apprun_operator"
UNIT: Final = "tests/unit"
SIMULATION: Final = "tests/simulation/cluster"
CHART: Final = "charts/apprun/templates"
TEST_SECONDS: Final = 40
"""What waits for ever without its guard has failed; those of a cluster take as long as they need."""


@dataclass(frozen=True)
class Mutant:
    """One guard, where it stands, what stands there without it, and the tests of which one has to fail."""

    guard: str
    path: str
    code: str
    without: str
    tests: tuple[str, ...]
    cluster: bool = False


MUTANTS: Final = (
    Mutant(
        "check_durability isn't started by what it executes or imports",
        f"{SDK}/testing/nesting.py",
        "if checking is not None:",
        "if False:",
        (f"{UNIT}/testing/test_check_bounds.py",),
    ),
    Mutant(
        "each body is executed once in a check",
        f"{SDK}/engines/memory/recordings.py",
        "if recorded is None:",
        "if True:",
        (f"{UNIT}/testing/test_check_bounds.py",),
    ),
    Mutant(
        "a generator that the collector finds is closed at the route's end",
        f"{SDK}/execution/generators.py",
        'self._collecting = phase == "start"',
        "self._collecting = False",
        (f"{UNIT}/execution/test_generators.py",),
    ),
    Mutant(
        "a default that reads the clock is the route's in a contract",
        f"{SDK}/contracts/factories.py",
        "field.default_factory = Factory(factory)",
        "pass",
        (f"{UNIT}/execution/test_references.py",),
    ),
    Mutant(
        "a default argument that reads the clock is the route's",
        f"{SDK}/execution/guard/references.py",
        'yield Patch(function, "__defaults__", defaults)',
        "pass",
        (f"{UNIT}/execution/test_references.py",),
    ),
    Mutant(
        "the wish to be tried again is bounded, whoever wrote it",
        f"{OPERATOR}/observe/project.py",
        'return {} if wish is None else {"retryAfterSeconds": wish}',
        "return {}",
        (f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "control characters of a text are shown, and not sent to the terminal",
        f"{SDK}/cli/output.py",
        'return f"{before}{paint(printable(text), style, file)}\\n"',
        'return f"{before}{paint(text, style, file)}\\n"',
        (f"{UNIT}/cli/test_control_characters.py",),
    ),
    Mutant(
        "a folder on the way to an object isn't entered by a link",
        f"{SDK}/storage/rooted.py",
        "os.open(name, os.O_NOFOLLOW | _PASS, dir_fd=folder)",
        "os.open(name, _PASS, dir_fd=folder)",
        (f"{UNIT}/storage/test_links.py",),
    ),
    Mutant(
        "what isn't a plain file isn't opened",
        f"{SDK}/storage/rooted.py",
        "if not stat.S_ISREG(mode):",
        "if False:",
        (f"{UNIT}/storage/test_links.py",),
    ),
    Mutant(
        "data is searched for all forms of a secret",
        f"{SDK}/execution/confidence.py",
        "found = secret_forms.forms(value)",
        "found = frozenset({value})",
        (f"{UNIT}/execution/test_secret_forms.py",),
    ),
    Mutant(
        "no umask opens a ledger to others",
        f"{SDK}/engines/local/private.py",
        "os.fchmod(file, FILE)",
        "os.fchmod(file, 0o644)",
        (f"{UNIT}/engines/local/test_private.py",),
    ),
    Mutant(
        "a pod's /tmp has a limit",
        f"{OPERATOR}/plan/parts.py",
        '{"sizeLimit": tmp_size_limit} if tmp_size_limit else {}',
        "{}",
        (f"{UNIT}/operator/plan/test_tmp.py",),
    ),
    Mutant(
        "a run that a backup restored without its status is held",
        f"{OPERATOR}/plan/restored.py",
        'if run.cancel or run.began_as in ("", run.meta.uid):',
        "if True:",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "a run that is being imported is left alone",
        f"{OPERATOR}/plan/restored.py",
        "if run.restored_from:",
        "if False:",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "a run is marked before it begins",
        f"{OPERATOR}/plan/restored.py",
        "if run.began_as == run.meta.uid:",
        "if True:",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "an annotation stops no run that has begun",
        f"{OPERATOR}/plan/restored.py",
        "if run.began or run.finished or run.restored_uid:",
        "if run.finished or run.restored_uid:",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "no result is planted in a run that wasn't imported",
        f"{OPERATOR}/plan/restored.py",
        "if task.restored_from and task.restored_from != seen.run.restored_uid:",
        "if False:",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "a restored run keeps its idempotency keys",
        f"{OPERATOR}/plan/pods.py",
        'idempotencyKey=f"{run.origin_uid}/{task.key}"',
        'idempotencyKey=f"{run.meta.uid}/{task.key}"',
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "state that a restored call has saved isn't applied again",
        f"{OPERATOR}/plan/state.py",
        "digest([seen.run.origin_uid, task.key])",
        "digest([seen.run.meta.uid, task.key])",
        (f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "a restored timer doesn't begin anew",
        f"{OPERATOR}/plan/attempts.py",
        "due = task.not_before or min(",
        "due = min(",
        (f"{UNIT}/operator/plan/test_restored.py",),
    ),
    Mutant(
        "an import writes a run's status when everything else is there",
        f"{SDK}/cli/cluster/importing.py",
        "    _restore_tasks(target, saved, owner, mark, at)\n",
        "    target.write_status(names.APP_RUNS, saved.name, {**(saved.run.get('status') or {}),"
        " 'restoredFrom': {'uid': origin}})\n    _restore_tasks(target, saved, owner, mark, at)\n",
        (f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "a backup has no call that its ledger doesn't lead to",
        f"{SDK}/cli/cluster/saving.py",
        "            runs.append(_saved(source, run, tasks.get(",
        "            runs.append(_saved(source, run, _tasks(source, wanted).get(",
        (f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "a backup whose past isn't whole is refused",
        f"{SDK}/cli/cluster/importing.py",
        "    if broken:\n",
        "    if False:\n",
        (f"{UNIT}/cli/test_backups.py",),
    ),
    Mutant(
        "an import takes no run of another past for its own",
        f"{SDK}/cli/cluster/importing.py",
        'if not held or "app" in status or "restoredFrom" in status:',
        'if "app" in status or "restoredFrom" in status:',
        (f"{UNIT}/cli/test_backups.py",),
    ),
    Mutant(
        "nobody imports a past over one that there is",
        f"{CHART}/policy-run-status.yaml",
        "&& !oldObject.?status.?app.hasValue() && !oldObject.?status.?restoredFrom.hasValue()",
        "",
        ("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "an imported task's status is written once",
        f"{CHART}/policy-task-reports.yaml",
        "!oldObject.?status.?restoredAt.hasValue()",
        "true",
        ("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "a run says what its calls wait for",
        f"{OPERATOR}/plan/run.py",
        "with_waits(seen, wanted, calls.waits,",
        "with_waits(seen, wanted, [],",
        (f"{UNIT}/operator/plan/test_waiting.py",),
    ),
    Mutant(
        "calls that begin to wait all the time keep no older wait untold",
        f"{OPERATOR}/plan/calls.py",
        "min(settled, calls.untold_since + LONGEST_SETTLE)",
        "settled",
        (f"{UNIT}/operator/plan/test_waiting.py",),
    ),
    Mutant(
        "the number of calls that wait costs no write each time that it changes",
        f"{OPERATOR}/plan/waiting.py",
        "same = told and waiting.causes_of(said.message) == waiting.causes_of(summary.message)",
        "same = told and said.message == summary.message",
        (f"{UNIT}/operator/plan/test_waiting.py",),
    ),
    Mutant(
        "a run whose driver reaches nobody says so",
        f"{OPERATOR}/plan/contact.py",
        "if _was_heard(seen, driver, pod):",
        "if True:",
        (f"{UNIT}/operator/plan/test_contact.py",),
    ),
    Mutant(
        "a driver that is restarted after 403 has to be heard before its run counts as well",
        f"{OPERATOR}/plan/stall.py",
        "return (_going(seen) if driver.started_at else standing_of(seen.run)), None, None",
        "return _going(seen), None, None",
        (f"{UNIT}/operator/plan/test_contact.py",),
    ),
    Mutant(
        "accounts and bindings are ensured again while a run is at work",
        f"{OPERATOR}/act/upkeep.py",
        "self._store.ensured_before(self._clock() - EACH_SECONDS)",
        "self._store.ensured_before(0.0)",
        (f"{UNIT}/operator/act/test_upkeep.py",),
    ),
    Mutant(
        "no error of the client ends the upkeep of accounts",
        f"{OPERATOR}/act/upkeep.py",
        "except Exception as error:",
        "except ForbiddenError as error:",
        (f"{UNIT}/operator/act/test_upkeep.py",),
    ),
    Mutant(
        "a suspended run with pods at work keeps its accounts and bindings",
        f"{OPERATOR}/observe/facts.py",
        "return not resting or any(not pod.ended for pod in self.pods.values())",
        "return not resting",
        (f"{UNIT}/operator/act/test_upkeep.py",),
    ),
    Mutant(
        "pages that break off stay short until the list is complete",
        f"{OPERATOR}/observe/informer.py",
        "            if not self._broke_off:",
        "            if True:",
        (f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "a time of a condition that is no time casts no doubt",
        f"{OPERATOR}/observe/times.py",
        "except (ValueError, OverflowError):",
        "except KeyError:",
        (f"{UNIT}/operator/observe/test_inspections.py",),
    ),
    Mutant(
        "an object of a list leaves the event loop to others before it is taken in",
        f"{OPERATOR}/kube/decode.py",
        "        if count % TOKENS_AT_A_TIME == 0:",
        "        if False:",
        (f"{UNIT}/operator/kube/test_decode.py",),
    ),
    Mutant(
        "a driver that is answered with 403 for ever ends, and says so",
        f"{SDK}/engines/kubernetes/patience.py",
        "if denials.last(error, delay):",
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_patience.py",),
    ),
    Mutant(
        "a route that computes for ever is told",
        f"{SDK}/execution/run.py",
        'self._watch.enter("the route")',
        "pass",
        (f"{UNIT}/execution/test_yielding.py",),
    ),
    Mutant(
        "an input that no pod takes starts none",
        f"{OPERATOR}/plan/resolve.py",
        "if size > MAX_PAYLOAD_BYTES:",
        "if False:",
        (f"{UNIT}/operator/plan/test_run.py",),
    ),
    Mutant(
        "a policy's denial is told from an object that makes no sense",
        f"{OPERATOR}/kube/errors.py",
        "(webhook or is_policy_denial(message))",
        "webhook",
        (f"{UNIT}/operator/kube",),
    ),
    Mutant(
        "a run's pods are asked for by the digest of the first one's image",
        f"{OPERATOR}/plan/pods.py",
        'asked.get("image") or image_of(app)',
        'asked.get("image") or app.get("image")',
        (f"{UNIT}/operator/plan/test_pins.py",),
    ),
    Mutant(
        "a task isn't executed with other files than its run began with",
        f"{SDK}/engines/kubernetes/taskpod.py",
        "if wanted and wanted != source_digest(Path(SOURCE_DIRECTORY)):",
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_taskpod.py",),
    ),
    Mutant(
        "a driver doesn't execute other files than its run began with",
        f"{SDK}/engines/kubernetes/driverpod.py",
        'if source != call.get("sourceDigest", source):',
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_driverpod.py",),
    ),
    Mutant(
        "what an app reads in its own way isn't refused by a schema",
        f"{OPERATOR}/plan/inputs.py",
        " or TAKES_MORE in schema",
        "",
        (f"{UNIT}/operator/plan/test_inputs.py",),
    ),
    Mutant(
        "what is published of other code decides nothing",
        f"{OPERATOR}/plan/checks.py",
        "if app.contracts is None or app.contracts.code != code:",
        "if app.contracts is None:",
        (f"{UNIT}/operator/plan/test_checks.py",),
    ),
    Mutant(
        "another inspection has another name, so that a zombie of the one before can't report for it",
        f"{OPERATOR}/plan/inspection.py",
        '"" if app.inspection is None else rfc3339(app.inspection.at)',
        '""',
        (f"{UNIT}/operator/plan/test_inspection.py",),
    ),
    Mutant(
        "not every App of a cluster is inspected at the same time",
        f"{OPERATOR}/plan/inspection.py",
        "if seen.others >= AT_A_TIME:",
        "if False:",
        (f"{UNIT}/operator/plan/test_inspection.py",),
    ),
    Mutant(
        "a write of the operator holds for the resourceVersion that it was decided on",
        f"{OPERATOR}/act/executor.py",
        '        {"op": "replace", "path": "/metadata/resourceVersion", "value": str(version)},\n',
        "",
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "a commit holds for the ledger that it was decided on",
        f"{OPERATOR}/act/executor.py",
        'return {"metadata": {"resourceVersion": str(version)}, "status": status}',
        'return {"metadata": {}, "status": status}',
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "an object is deleted by its uid, never its namesake",
        f"{OPERATOR}/act/executor.py",
        'options: JSONObject = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}',
        'options: JSONObject = {"propagationPolicy": "Background"}',
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "a pod that is there is adopted only if the same AppTask owns it",
        f"{OPERATOR}/act/executor.py",
        "if _owner(found) == action.task_uid:",
        "if found:",
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "an AppTask or page that is there is adopted only if the same run owns it",
        f"{OPERATOR}/act/executor.py",
        "if _owner(answer) != _owner(body):",
        "if not answer:",
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "a page that is there is adopted only with the same checkpoints",
        f"{OPERATOR}/act/executor.py",
        'if kind == "appledgers" and answer.get("spec") != body.get("spec"):',
        "if not answer:",
        (f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "a replica that doesn't lead writes nothing",
        f"{OPERATOR}/act/fence.py",
        "if not self._may_write():",
        "if False:",
        (f"{UNIT}/operator/test_terms.py",),
    ),
    Mutant(
        "what is committed is never committed again",
        f"{OPERATOR}/plan/commit.py",
        'if task.finished and task.role != "driver" and task.key not in seen.committed',
        'if task.finished and task.role != "driver"',
        (f"{UNIT}/operator/plan/test_commit.py", f"{UNIT}/operator/plan/test_run.py"),
    ),
    Mutant(
        "nothing is committed while a page of the ledger is unknown",
        f"{OPERATOR}/plan/commit.py",
        "    if seen.missing_pages:\n        return NOTHING\n",
        "",
        (f"{UNIT}/operator/plan/test_commit.py", f"{UNIT}/operator/plan/test_run.py"),
    ),
    Mutant(
        "a page is made before the status lets go of its checkpoints",
        f"{OPERATOR}/plan/run.py",
        "    # Deletions last: nobody waits for them.\n",
        "    first = first if ledger.page is None else [*first[1:], *first[:1]]\n",
        (f"{UNIT}/operator/plan/test_commit.py", f"{UNIT}/operator/plan/test_run.py"),
    ),
    Mutant(
        "the ledger's numbers have no gap, for the operator",
        f"{OPERATOR}/observe/project.py",
        'if not isinstance(entry.get("sequence"), int) or (place and entry["sequence"] != expected):',
        "if False:",
        (f"{UNIT}/operator/observe", f"{UNIT}/operator/plan"),
    ),
    Mutant(
        "the status goes on where the pages end",
        f"{OPERATOR}/observe/project.py",
        "    _check_seam(pages, checkpoints)\n",
        "",
        (f"{UNIT}/operator/observe", f"{UNIT}/operator/plan"),
    ),
    Mutant(
        "the ledger's numbers have no gap, for the driver",
        f"{SDK}/engines/kubernetes/ledger.py",
        'if checkpoint["sequence"] > len(self):',
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_ledger.py",),
    ),
    Mutant(
        "an output is what was committed, for the driver",
        f"{SDK}/engines/kubernetes/ledger.py",
        'if found != checkpoint["digest"]:',
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "an output is what was committed, for the operator",
        f"{OPERATOR}/observe/facts.py",
        'return self.committed[task.key] in ("", task.digest)',
        "return True",
        (f"{UNIT}/operator/observe", f"{UNIT}/operator/plan"),
    ),
    Mutant(
        "an older version of an object changes nothing",
        f"{OPERATOR}/observe/store.py",
        "if meta.uid in self._buried or (known is not None and known[1] >= meta.version):",
        "if meta.uid in self._buried:",
        (f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "late news don't bring back what is gone",
        f"{OPERATOR}/observe/store.py",
        "if meta.uid in self._buried or (known is not None and known[1] >= meta.version):",
        "if known is not None and known[1] >= meta.version:",
        (f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "what a list lacks is gone",
        f"{OPERATOR}/observe/informer.py",
        "        self._store.replace(self.kind, keys, int(version), self._namespace)\n",
        "",
        (f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "a rest on purpose is no silence, whoever lists meanwhile",
        f"{OPERATOR}/observe/informer.py",
        "max(self._heard_at, self._rests_until)",
        "self._heard_at",
        (f"{UNIT}/operator/observe", f"{UNIT}/operator/test_liveness.py"),
    ),
    Mutant(
        "an object that is too deep is measured before it is decoded",
        f"{OPERATOR}/kube/decode.py",
        "    if _may_be_deep(text, 0, len(text)):",
        "    if False:",
        (f"{UNIT}/operator/kube/test_decode.py",),
    ),
    Mutant(
        "a write is done whatever its answer holds",
        f"{OPERATOR}/kube/client.py",
        "        except UndecodableError as error:\n            logger.warning(",
        "        except KeyError as error:\n            logger.warning(",
        (f"{UNIT}/operator/kube/test_client.py",),
    ),
    Mutant(
        "an answer that is too long isn't read to its end",
        f"{OPERATOR}/kube/client.py",
        "if size > MAX_ANSWER:",
        "if False:",
        (f"{UNIT}/operator/kube/test_client.py",),
    ),
    Mutant(
        "a page is no longer than memory takes",
        f"{OPERATOR}/observe/informer.py",
        "min(page * GROWTH, most, PAGE_BYTES // max(longest, 1))",
        "min(page * GROWTH, most)",
        (f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "a page that is too long is asked for in parts",
        f"{OPERATOR}/observe/informer.py",
        "if not isinstance(error, TooLargeError):",
        "if True:",
        (f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "a time is compared by its wall clock and offset",
        f"{SDK}/contracts/comparison.py",
        "elif isinstance(value, datetime | time | Decimal):",
        "elif isinstance(value, Decimal):",
        (f"{UNIT}/contracts/test_codec.py",),
    ),
    Mutant(
        "text that begins with the mark of a number stays text",
        f"{SDK}/contracts/codec.py",
        "if MARK not in text:\n        try:",
        "if True:\n        try:",
        (f"{UNIT}/contracts/test_codec.py",),
    ),
    Mutant(
        "models with the same fields aren't members of one union",
        f"{SDK}/contracts/unions.py",
        "not discriminated and _objects_clash(first, second)",
        "False",
        (f"{UNIT}/contracts/test_safety.py",),
    ),
    Mutant(
        "a timer beyond a century is a century",
        f"{SDK}/execution/routeruntime.py",
        "10**-TIMER_DIGITS), MAX_SECONDS)",
        "10**-TIMER_DIGITS), float('inf'))",
        (f"{UNIT}/app/test_extremes.py",),
    ),
    Mutant(
        "a decorator above @task is refused",
        f"{SDK}/app/definition.py",
        "    if hidden is not None:\n",
        "    if False:\n",
        (f"{UNIT}/app/test_decorators.py",),
    ),
    Mutant(
        "an app that can't be forked is imported by each attempt",
        f"{SDK}/engines/local/forker.py",
        "    if reasons:\n",
        "    if False:\n",
        (f"{UNIT}/engines/local/test_forking.py",),
    ),
    Mutant(
        "the folder of the file that was named comes first",
        f"{SDK}/engines/local/source.py",
        "if sys.path[:1] != [self.directory]:",
        "if self.directory not in sys.path:",
        (f"{UNIT}/cli/test_which_file.py",),
    ),
    Mutant(
        "a module that isn't the named file is told",
        f"{SDK}/engines/local/source.py",
        "            self._check_module()\n",
        "            pass\n",
        (f"{UNIT}/cli/test_which_file.py",),
    ),
    Mutant(
        "a check of an input ends",
        f"{OPERATOR}/plan/inputs.py",
        "if self._visits > VISITS:",
        "if False:",
        (f"{UNIT}/operator/plan/test_hostile_inputs.py",),
    ),
    Mutant(
        "a value is held against a definition once",
        f"{OPERATOR}/plan/inputs.py",
        "        self._referred[place] = None\n",
        "",
        (f"{UNIT}/operator/plan/test_hostile_inputs.py",),
    ),
    Mutant(
        "a number that no float takes ends no plan",
        f"{OPERATOR}/plan/attempts.py",
        "    except OverflowError:\n        return longest\n",
        "    except KeyError:\n        return longest\n",
        (f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "a moment that the calendar doesn't have ends no plan",
        f"{OPERATOR}/observe/times.py",
        "min(max(seconds, 0.0), LAST_SECOND)",
        "seconds",
        (f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "a version that is too old leads to a new list",
        f"{OPERATOR}/observe/informer.py",
        'return Progress("" if expired else self.version, self.failures + 1)',
        "return Progress(self.version, self.failures + 1)",
        (f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "a pod that vanished without an answer leaves a trace",
        f"{OPERATOR}/observe/facts.py",
        "            self.pods[name] = replace(pod, gone=True)\n",
        "            pass\n",
        (f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "a trace goes with its AppTask",
        f"{OPERATOR}/observe/facts.py",
        "                self._forget_pod(task.pod_name)\n            self.settled",
        "                pass\n            self.settled",
        (f"{UNIT}/operator/observe", f"{SIMULATION}/test_found.py"),
    ),
    Mutant(
        "what is under way isn't asked for again",
        f"{OPERATOR}/worker.py",
        "        self._store.begin(key, target(action))\n",
        "",
        (f"{UNIT}/operator/test_worker.py",),
    ),
    Mutant(
        "what the cluster did is no failure of the app",
        f"{OPERATOR}/plan/failure.py",
        "    if pod.disruption:\n        return _disrupted(pod)\n",
        "",
        (f"{UNIT}/operator/plan/test_failure.py",),
    ),
    Mutant(
        "a lost node's pod isn't waited for",
        f"{OPERATOR}/plan/failure.py",
        "if pod.disruption == NODE_LOST:\n        # The pod",
        "if False:\n        # The pod",
        (f"{UNIT}/operator/plan/test_failure.py",),
    ),
    Mutant(
        "a pod's container is found by its name",
        f"{SDK}/wire/containers.py",
        'return next((status for status in statuses if status.get("name") == name), {})',
        "return next(iter(statuses), {})",
        (f"{UNIT}/wire/test_containers.py",),
    ),
    Mutant(
        "an attempt is over when its own container is, whatever goes on beside it",
        f"{OPERATOR}/observe/pods.py",
        ' or self.phase in ("Succeeded", "Failed") or self.exit_code is not None',
        ' or self.phase in ("Succeeded", "Failed")',
        (f"{UNIT}/operator/plan/test_failure.py",),
    ),
    Mutant(
        "a call at work isn't ended because another container has no image",
        f"{OPERATOR}/plan/failure.py",
        'if pod.phase == "Pending" and not pod.running:',
        'if pod.phase == "Pending":',
        (f"{UNIT}/operator/plan/test_failure.py",),
    ),
    Mutant(
        "a gated pod is queued without a limit of time",
        f"{OPERATOR}/plan/failure.py",
        "    if pod.gates:\n",
        "    if False:\n",
        (f"{UNIT}/operator/plan/test_failure.py",),
    ),
    Mutant(
        "a pod that can't start is made again with back-off",
        f"{OPERATOR}/plan/restarts.py",
        "    if now >= again:\n",
        "    if True:\n",
        (f"{UNIT}/operator/plan/test_restarts.py",),
    ),
    Mutant(
        "a pod whose image a webhook rewrote isn't taken for one of another app",
        f"{OPERATOR}/plan/attempts.py",
        "pod.asked_image not in",
        "pod.image not in",
        (f"{UNIT}/operator/plan/test_stall.py",),
    ),
    Mutant(
        "a log is asked for of the call's own container",
        f"{SDK}/cli/cluster/logs.py",
        'query = {"timestamps": "true", "container": origin.container}',
        'query = {"timestamps": "true"}',
        (f"{UNIT}/cli/test_on_cluster.py",),
    ),
    Mutant(
        "no call is given up before the past is consumed, which may have ended it",
        f"{SDK}/execution/route.py",
        "if self.replaying or not self._to_abandon:",
        "if not self._to_abandon:",
        (f"{UNIT}/execution/test_route.py",),
    ),
    Mutant(
        "a run's input is put on record where defaults were filled in",
        f"{SDK}/execution/run.py",
        "        engine.begin(completed)\n",
        "",
        (f"{UNIT}/engines/local/test_begun_with.py",),
    ),
    Mutant(
        "a default that is made anew each time counts for a call's identity",
        f"{SDK}/contracts/identityform.py",
        "return bool(code.co_names or ",
        "return bool(",
        (f"{UNIT}/contracts/test_identityform.py",),
    ),
    Mutant(
        "classes that nothing tells apart stay whole, all that is in them included",
        f"{SDK}/contracts/shapes.py",
        "return Shape(dict.fromkeys(shape.classes), ",
        "return Shape(dict.fromkeys(shape.classes, frozenset()), ",
        (f"{UNIT}/contracts/test_identityform.py", "tests/simulation/route/test_golden_ledgers.py"),
    ),
    Mutant(
        "how numbers count doesn't depend on the fields that are left out",
        f"{SDK}/contracts/identityform.py",
        "def _exact(raw: object, value: object) -> JSON:\n    return normal_form(raw, value, exact=True)",
        "def _exact(raw: object, value: object) -> JSON:\n    return normal_form(raw, value)",
        (f"{UNIT}/contracts/test_identityform.py", "tests/simulation/route/test_golden_ledgers.py"),
    ),
    Mutant(
        "an attempt that gives way holds no place",
        f"{SDK}/engines/local/dispatcher.py",
        "len(self._running) - len(self._giving_way) <",
        "len(self._running) <",
        (f"{UNIT}/engines/local/test_dispatcher.py",),
    ),
    Mutant(
        "nothing new is called before the past is consumed",
        f"{SDK}/execution/route.py",
        "if self.replaying or not self._held:",
        "if not self._held:",
        (
            "tests/simulation/route/test_golden_ledgers.py",
            f"{UNIT}/execution/test_route.py",
            f"{UNIT}/execution/test_run.py",
        ),
    ),
    Mutant(
        "a completion goes to an outstanding call only",
        f"{SDK}/execution/route.py",
        "        if completion.key not in self._abandoned:\n            raise Unexpected(completion)\n",
        "        if completion.key not in self._abandoned:\n            self.consumed += 1\n            return\n",
        (
            f"{UNIT}/execution/test_route.py",
            f"{UNIT}/execution/test_run.py",
        ),
    ),
    Mutant(
        "calls that earlier drivers had under way are made again",
        f"{SDK}/execution/run.py",
        "                raise Unmade(key)\n",
        "                pass\n",
        (f"{UNIT}/execution/test_divergence.py",),
    ),
    Mutant(
        "a run keeps the mode of the gate that it began with",
        f"{SDK}/execution/gatemode.py",
        "    if not past and not under_way:\n",
        "    if True:\n",
        (f"{UNIT}/execution/test_gate.py",),
    ),
    Mutant(
        "a driver adopts its own run's AppTask only",
        f"{SDK}/engines/kubernetes/calls.py",
        'if owner.uid in owners and spec.get("key") == call.key:',
        "if spec:",
        (f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "a driver follows the run with its uid only",
        f"{SDK}/engines/kubernetes/follow.py",
        "    if found != uid:\n",
        "    if False:\n",
        (f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "calls of an open route that somebody deleted are made again",
        f"{SDK}/engines/kubernetes/driver.py",
        "            self._restore_calls()\n",
        "            pass\n",
        (f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "a task reports before it exits",
        f"{SDK}/engines/kubernetes/taskpod.py",
        'return EXIT_CODES[deliver(api, call["appTask"], report, call["attempt"], time.sleep)]',
        "return 0",
        (f"{UNIT}/engines/kubernetes/test_taskpod.py",),
    ),
    Mutant(
        "a report is sent until it is answered",
        f"{SDK}/engines/kubernetes/report.py",
        "_MAY_PASS: Final = (Busy, Conflict, Forbidden, Unauthorized, Unreachable)",
        "_MAY_PASS: Final = (Conflict, Forbidden, Unauthorized, Unreachable)",
        (f"{UNIT}/engines/kubernetes/test_report.py",),
    ),
    Mutant(
        "a report whose answer was lost counts when it had come through",
        f"{SDK}/engines/kubernetes/report.py",
        "if may_have_arrived and REFUSED_FINISHED in error.message:",
        "if False:",
        (f"{UNIT}/engines/kubernetes/test_report.py",),
    ),
    Mutant(
        "the fence: only the pod of the current attempt reports",
        f"{CHART}/policy-task-reports.yaml",
        '"variables.isOperator || variables.isCurrent"',
        '"true"',
        ("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "the fence: what has ended isn't reported on",
        f"{CHART}/policy-task-reports.yaml",
        '"variables.isOperator || !variables.finished || variables.unchanged"',
        '"true"',
        ("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "a finished task can't be deleted",
        f"{CHART}/policy-task-protection.yaml",
        "request.operation != 'DELETE' || size",
        "true || size",
        ("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "an input doesn't name a file of the disk that reads it",
        f"{SDK}/contracts/paths.py",
        'if path and _rule(info) == "refuse":',
        "if False:",
        (f"{UNIT}/contracts/test_paths.py",),
    ),
    Mutant(
        "a task isn't given paths of others",
        f"{SDK}/contracts/paths.py",
        'return None if _rule(info) == "drop" else path',
        "return path",
        (f"{UNIT}/contracts/test_paths.py",),
    ),
    Mutant(
        "a run on a cluster doesn't begin on an input with a path",
        f"{SDK}/execution/run.py",
        'paths="keep" if info.own_disk else "refuse"',
        'paths="keep"',
        (f"{UNIT}/engines/kubernetes/test_driverpod.py",),
    ),
    Mutant(
        "a task doesn't store the files of its pod",
        f"{SDK}/storage/forbidden.py",
        "if place.is_relative_to(forbidden) or forbidden.is_relative_to(place):",
        "if False:",
        (f"{UNIT}/storage/test_forbidden.py",),
    ),
    Mutant(
        "mounted secrets are known before any code of the user's runs",
        f"{SDK}/engines/kubernetes/pod.py",
        "    know_mounted_secrets(directory, os.environ)\n",
        "",
        (f"{UNIT}/engines/kubernetes/test_podsecrets.py",),
    ),
    Mutant(
        "a laptop's server answers to its own names only",
        f"{SDK}/server/origin.py",
        'if len(hosts) != 1 or not self._is_own(_name(f"//{hosts[0]}")):',
        "if len(hosts) != 1:",
        (f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "another site's page changes nothing on a laptop's server",
        f"{SDK}/server/origin.py",
        '(origin and origin.lower() != f"http://{hosts[0].lower()}") or site not in _OWN_SITE',
        "False",
        (f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "a handler doesn't take a token that is good elsewhere too",
        f"{SDK}/server/tokens.py",
        "if any(one not in (audience, names.GROUP) for one in audiences):",
        "if False:",
        (f"{UNIT}/server/test_clusteraccess.py",),
    ),
    Mutant(
        "checks of callers are bounded",
        f"{SDK}/server/guarded.py",
        "if self._asking >= CHECKS_AT_ONCE + CHECKS_WAITING:",
        "if False:",
        (f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "a request that doesn't come is given up",
        f"{SDK}/server/connections.py",
        "self._deadline = self.loop.call_later(seconds, self._give_up)",
        "pass",
        (f"{UNIT}/server/test_connections.py",),
    ),
    Mutant(
        "a handler's account may ask for TokenReviews by a binding of its namespace alone",
        f"{OPERATOR}/act/accounts.py",
        '"name": names.HANDLER_SERVICE_ACCOUNT, "namespace": namespace}',
        '"name": "default", "namespace": namespace}',
        (f"{UNIT}/operator/act/test_accounts.py",),
    ),
    Mutant(
        "the fence: a pod of an earlier run of the name doesn't report",
        f"{CHART}/policy-task-reports.yaml",
        "+ string(variables.attempt) + '-' + variables.incarnation",
        "+ string(variables.attempt) + variables.pod.substring(size(variables.pod) - 9)",
        ("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "the fence: a namesake of the assigned pod doesn't report",
        f"{CHART}/policy-task-reports.yaml",
        "&& (!variables.assigned || variables.podUid == oldObject.status.pod.uid)",
        "",
        ("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "a driver of an earlier run of the name calls nothing",
        f"{CHART}/policy-task-calls.yaml",
        "&& (variables.incarnation == '' || variables.pod.endsWith('-' + variables.incarnation))",
        "",
        ("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "no task runs as the operator, whatever its driver writes",
        f"{CHART}/policy-task-calls.yaml",
        "!(variables.account in ['apprun-driver', 'apprun-handler'])",
        "true || !(variables.account in ['apprun-driver', 'apprun-handler'])",
        ("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "the name of an attempt's pod can't be taken",
        f"{CHART}/policy-pods.yaml",
        '    - expression: "false"\n',
        '    - expression: "true"\n',
        ("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "a run that is made again has pods of other names than its predecessor",
        f"{SDK}/wire/names.py",
        'return f"{app_task}-{attempt}-{incarnation(owner_uid)}"',
        'return f"{app_task}-{attempt}"',
        (f"{UNIT}/operator/plan/test_identity.py", f"{SIMULATION}/test_identity.py"),
    ),
    Mutant(
        "a pod that isn't that of its call's current attempt is deleted",
        f"{OPERATOR}/plan/retention.py",
        "        elif _is_stray(seen, pod):\n",
        "        elif False:\n",
        (f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "pods of another run of the name are none of its strays",
        f"{OPERATOR}/plan/retention.py",
        "pod.meta.owner_uid == task.meta.uid and pod.meta.key.name != task.pod_name",
        "pod.meta.key.name != task.pod_name",
        (f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "a task whose App names an account of AppRun's own gets no pod",
        f"{OPERATOR}/plan/calls.py",
        "if task.undisturbed and startable:",
        "if task.undisturbed:",
        (f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "no task runs as an account of AppRun's own",
        f"{OPERATOR}/plan/service_accounts.py",
        "own = account in names.RESERVED_SERVICE_ACCOUNTS",
        "own = False",
        (f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "no task runs as the operator",
        f"{OPERATOR}/plan/service_accounts.py",
        "(namespace, account) != limits.own_account",
        "True",
        (f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "a task can't be defined with an account of AppRun's own",
        f"{SDK}/app/settingchecks.py",
        "    if account in names.RESERVED_SERVICE_ACCOUNTS:\n",
        "    if False:\n",
        (f"{UNIT}/app/test_definition.py",),
    ),
    Mutant(
        "a handler's objects are the App's before they are written or deleted",
        f"{OPERATOR}/act/owned.py",
        'if any(owner.get("uid") == app_uid for owner in owners):',
        "if found:",
        (f"{UNIT}/operator/act/test_apps.py",),
    ),
    Mutant(
        "what slips in before a handler's first apply isn't taken over",
        f"{OPERATOR}/act/owned.py",
        "        return await api.patch(path, body, APPLY)\n",
        '        return await api.patch(f"{path}&force=true", body, APPLY)\n',
        (f"{UNIT}/operator/act/test_apps.py",),
    ),
    Mutant(
        "a handler's objects are applied by their uid",
        f"{OPERATOR}/act/owned.py",
        '{**body, "metadata": {**metadata, "uid": uid}}',
        "body",
        (f"{UNIT}/operator/act/test_apps.py",),
    ),
    Mutant(
        "a handler's objects are deleted by their uid",
        f"{OPERATOR}/act/owned.py",
        '"preconditions": {"uid": cast("JSONObject", found["metadata"])["uid"]}',
        '"preconditions": {}',
        (f"{UNIT}/operator/act/test_apps.py",),
    ),
)


def missing(mutant: Mutant) -> str:
    """Why the mutant doesn't apply to the tree; empty when it does."""
    found = (ROOT / mutant.path).read_text("utf-8").count(mutant.code)
    return "" if found == 1 else f"{mutant.path} has it {found} times: {mutant.code!r}"


def copy_tree(folder: Path) -> None:
    """The tracked files as they are now, with this folder's virtual environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")


def is_noticed(mutant: Mutant, folder: Path) -> tuple[bool, str]:
    """Whether a test fails without the guard, and which."""
    target = folder / mutant.path
    original = target.read_text("utf-8")
    target.write_text(original.replace(mutant.code, mutant.without), "utf-8")
    try:
        command = [
            str(ROOT / ".venv/bin/python"),
            "-m",
            "pytest",
            "-q",
            "-x",
            f"--timeout={TEST_SECONDS}",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
        ]
        # Processes that tests start would find the tree itself otherwise, through its virtual environment.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder / part) for part in ("sdk", "operator", ""))}
        done = subprocess.run(
            [*command, *mutant.tests], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
    finally:
        target.write_text(original, "utf-8")
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the tests of {mutant.guard!r} couldn't be run:\n{done.stdout}\n{done.stderr}")
    failed = [line.removeprefix("FAILED ") for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    return done.returncode == 1, failed[0].partition(" - ")[0] if failed else ""


def main() -> int:
    """Try each; the exit code says whether some guard isn't missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true", help="also those that need a real API server")
    parser.add_argument("--only", default="", help="those whose guard has these words")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.guard and (arguments.cluster or not m.cluster)]
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_tree(folder)
        for mutant in chosen:
            if why := missing(mutant):
                sys.stderr.write(f"{mutant.guard}: {why}\n")
                return 2
            began = time.monotonic()
            noticed, test = is_noticed(mutant, folder)
            print(f"{'missed by' if noticed else 'NOT MISSED':10} {mutant.guard}: {test or '-'} "
                  f"({time.monotonic() - began:.0f} s)", flush=True)  # fmt: skip
            if not noticed:
                unnoticed.append(mutant.guard)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} guards are missed by a test")
    return bool(unnoticed)


if __name__ == "__main__":
    raise SystemExit(main())
