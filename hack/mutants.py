"""`make mutants`: takes away one guard after the other, in a copy of the tree, and shows that some test fails for each.

A guard that no test misses is one that the next change may lose. Each stands in the source below a comment
`# guard: name - why` (hack/guards.py), and has an entry here under that name; tests/unit/hack/test_mutants.py compares
the two. `--only` tries those whose name has the given words. `--cluster` adds those that only a real API server can
miss; it needs a cluster named as CLUSTER_NAME says, up or not.
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

from hack.guards import Anchor, GuardError, anchors, replaced

ROOT: Final = Path(__file__).resolve().parents[1]
UNIT: Final = "tests/unit"
SIMULATION: Final = "tests/simulation/cluster"
TEST_SECONDS: Final = 40
"""A test that hangs without its guard has failed; those of a cluster take as long as they need."""


@dataclass(frozen=True)
class Mutant:
    """One guard, what stands there without it, and the tests of which one has to fail."""

    guard: str
    """The name in the guard's comment."""
    without: str
    tests: tuple[str, ...]
    part: str = ""
    """What `without` replaces in the guarded statement; empty for its condition, or for the whole of a simple one."""
    cluster: bool = False


MUTANTS: Final = (
    Mutant(
        "driver-task-minute",
        without="False",
        tests=(f"{UNIT}/app/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-no-pod-fields",
        without="False",
        tests=(f"{UNIT}/app/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-secrets-listed",
        without="faults += []",
        tests=(f"{UNIT}/app/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-recorded-once",
        without="True",
        tests=(f"{UNIT}/engines/kubernetes/test_recorded_calls.py",),
    ),
    Mutant(
        "driver-task-overdue-killed",
        without="pass",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-cancelled-run",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-suspended-run",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-resumed-run",
        without="paused == self._paused",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-never-begun",
        without='state.kill_at = float("inf")',
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-suspended-start",
        without="self._driver_tasks.pause(is_suspended(self._app_run))",
        tests=(f"{UNIT}/engines/kubernetes/test_recorded_calls.py",),
    ),
    Mutant(
        "unforked-attempt-ends",
        without="False",
        tests=(f"{UNIT}/engines/processes/test_executor.py",),
    ),
    Mutant(
        "unreached-attempt-is-a-disruption",
        without="False",
        tests=(f"{UNIT}/engines/processes/test_executor.py",),
    ),
    Mutant(
        "driver-task-under-way-once",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-memory",
        without="True",
        tests=(f"{UNIT}/engines/kubernetes/test_task_fork_server.py",),
    ),
    Mutant(
        "driver-task-no-state",
        without="return None",
        tests=(f"{UNIT}/engines/kubernetes/test_task_fork_server.py",),
    ),
    Mutant(
        "driver-task-outcome-in-spec",
        without="False",
        tests=(f"{UNIT}/operator/observe/test_driver_tasks.py",),
    ),
    Mutant(
        "driver-task-cancel-entry",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_recorded_calls.py",),
    ),
    Mutant(
        "driver-task-status",
        part="\"oldObject.spec.role != 'local' || variables.unchanged\"",
        without='"true"',
        tests=("tests/cluster/test_driver_tasks.py",),
        cluster=True,
    ),
    Mutant(
        "driver-task-output-size",
        part="245760",
        without="24576000",
        tests=("tests/cluster/test_driver_tasks.py",),
        cluster=True,
    ),
    Mutant(
        "kit-keeps-schedule-to-close",
        without="False",
        tests=(f"{UNIT}/testing/test_run_app.py",),
    ),
    Mutant(
        "kit-keeps-timeout",
        without="False",
        tests=(f"{UNIT}/testing/test_run_app.py",),
    ),
    Mutant(
        "drawn-durations-keep-limits",
        without="return drawn",
        tests=(f"{UNIT}/testing/test_check_durability.py",),
    ),
    Mutant(
        "cancelled-call-recorded",
        without="False",
        tests=(f"{UNIT}/engines/local/test_survival.py",),
    ),
    Mutant(
        "guard-whole-or-not-at-all",
        without="pass",
        tests=(f"{UNIT}/replay/test_guard.py",),
    ),
    Mutant(
        "cancelled-before-begun",
        without="False",
        tests=(f"{UNIT}/attempt/test_attempt.py",),
    ),
    Mutant(
        "cancelled-not-abandoned",
        without="state.abandoned = True",
        tests=(f"{UNIT}/engines/local/test_dispatcher.py",),
    ),
    Mutant(
        "check-not-nested",
        without="False",
        tests=(f"{UNIT}/testing/test_check_bounds.py",),
    ),
    Mutant(
        "check-executes-once",
        without="True",
        tests=(f"{UNIT}/testing/test_check_bounds.py",),
    ),
    Mutant(
        "generator-closed-at-end",
        without="self._collecting = False",
        tests=(f"{UNIT}/replay/test_generators.py",),
    ),
    Mutant(
        "contract-default-clock",
        without="pass",
        tests=(f"{UNIT}/replay/test_references.py",),
    ),
    Mutant(
        "argument-default-clock",
        without="pass",
        tests=(f"{UNIT}/replay/test_references.py",),
    ),
    Mutant(
        "retry-after-bounded",
        without="return {}",
        tests=(f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "terminal-control-characters",
        without='return f"{before}{paint(text, style, file)}\\n"',
        tests=(f"{UNIT}/cli/test_control_characters.py",),
    ),
    Mutant(
        "no-symlink-to-object",
        part="os.O_NOFOLLOW | _PASS",
        without="_PASS",
        tests=(f"{UNIT}/storage/test_links.py",),
    ),
    Mutant(
        "plain-files-only",
        without="False",
        tests=(f"{UNIT}/storage/test_links.py",),
    ),
    Mutant(
        "secret-forms",
        without="found = frozenset({value})",
        tests=(f"{UNIT}/execution/test_secret_forms.py",),
    ),
    Mutant(
        "ledger-file-mode",
        without="os.fchmod(file, 0o644)",
        tests=(f"{UNIT}/engines/local/test_private.py",),
    ),
    Mutant(
        "tmp-size-limit",
        part='{"sizeLimit": tmp_size_limit} if tmp_size_limit else {}',
        without="{}",
        tests=(f"{UNIT}/operator/plan/test_tmp.py",),
    ),
    Mutant(
        "restored-without-status",
        without="True",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "import-in-progress",
        without="False",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "run-marked-first",
        without="True",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "restored-mark-after-start",
        without="run.finished or run.restored_uid",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "no-planted-results",
        without="False",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "restored-idempotency-key",
        part='idempotencyKey=f"{run.origin_uid}/{task.key}"',
        without='idempotencyKey=f"{run.meta.uid}/{task.key}"',
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "restored-state-once",
        part="digest([observed.run.origin_uid, task.key])",
        without="digest([observed.run.meta.uid, task.key])",
        tests=(f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "restored-timer",
        part="task.not_before or",
        without="",
        tests=(f"{UNIT}/operator/plan/run/test_restored.py",),
    ),
    Mutant(
        "import-status-last",
        without=(
            "target.write_status(names.APP_RUNS, saved.name, {**(saved.run.get('status') or {}),"
            " 'restoredFrom': {'uid': origin}})\n_restore_tasks(target, saved, owner, mark, at)"
        ),
        tests=(f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "backup-tasks-before-run",
        part="tasks.get",
        without="_tasks(source, run_names).get",
        tests=(f"{SIMULATION}/test_restored.py",),
    ),
    Mutant(
        "backup-complete",
        without="False",
        tests=(f"{UNIT}/cli/test_backups.py",),
    ),
    Mutant(
        "import-same-run",
        without='"app" in status or "restoredFrom" in status',
        tests=(f"{UNIT}/cli/test_backups.py",),
    ),
    Mutant(
        "import-over-ledger",
        part="&& !oldObject.?status.?app.hasValue() && !oldObject.?status.?restoredFrom.hasValue()",
        without="",
        tests=("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "import-status-once",
        part="!oldObject.?status.?restoredAt.hasValue()",
        without="true",
        tests=("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "waits-shown",
        part="calls.waits",
        without="[]",
        tests=(f"{UNIT}/operator/plan/run/test_waiting.py",),
    ),
    Mutant(
        "waits-settle-bounded",
        part="min(settled, calls.untold_since + LONGEST_SETTLE)",
        without="settled",
        tests=(f"{UNIT}/operator/plan/run/test_waiting.py",),
    ),
    Mutant(
        "waits-no-write-per-count",
        without="same = is_told and current.message == summary.message",
        tests=(f"{UNIT}/operator/plan/run/test_waiting.py",),
    ),
    Mutant(
        "driver-contact",
        without="True",
        tests=(f"{UNIT}/operator/plan/run/test_driver_contact.py",),
    ),
    Mutant(
        "driver-contact-after-restart",
        without="return _going(observed), None, None",
        tests=(f"{UNIT}/operator/plan/run/test_driver_contact.py",),
    ),
    Mutant(
        "accounts-renewed",
        part="self._cache.namespaces_ensured_before(self._clock() - SYNC_SECONDS)",
        without="self._cache.namespaces_ensured_before(0.0)",
        tests=(f"{UNIT}/operator/act/test_service_account_sync.py",),
    ),
    Mutant(
        "upkeep-goes-on",
        without="raise",
        tests=(f"{UNIT}/operator/act/test_service_account_sync.py",),
    ),
    Mutant(
        "suspended-pods-keep-accounts",
        without="return not resting",
        tests=(f"{UNIT}/operator/act/test_service_account_sync.py",),
    ),
    Mutant(
        "broken-pages-stay-short",
        without="True",
        tests=(f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "foreign-time-parsed",
        without="raise",
        tests=(f"{UNIT}/operator/observe/test_inspections.py",),
    ),
    Mutant(
        "cut-in-steps",
        without="False",
        tests=(f"{UNIT}/operator/kube/test_decode.py",),
    ),
    Mutant(
        "untold-classes-stay-whole",
        part="dict.fromkeys(shape.classes)",
        without="dict.fromkeys(shape.classes, frozenset())",
        tests=(f"{UNIT}/contracts/test_identity_form.py", "tests/simulation/route/test_golden_ledgers.py"),
    ),
    Mutant(
        "numbers-count-exactly",
        without="return normal_form(raw, value)",
        tests=(f"{UNIT}/contracts/test_identity_form.py", "tests/simulation/route/test_golden_ledgers.py"),
    ),
    Mutant(
        "denied-driver-ends",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_retry_request.py",),
    ),
    Mutant(
        "route-blocks-loop",
        without="pass",
        tests=(f"{UNIT}/replay/test_yielding.py",),
    ),
    Mutant(
        "input-size",
        without="False",
        tests=(f"{UNIT}/operator/plan/run/test_reconcile.py",),
    ),
    Mutant(
        "policy-denial",
        part="(webhook or is_policy_denial(message))",
        without="webhook",
        tests=(f"{UNIT}/operator/kube",),
    ),
    Mutant(
        "image-digest-pinned",
        part='fields.get("image") or image_of(run.app or {})',
        without='fields.get("image") or (run.app or {}).get("image")',
        tests=(f"{UNIT}/operator/plan/pod/test_image_pinning.py",),
    ),
    Mutant(
        "env-own-variable",
        without="False",
        tests=(f"{UNIT}/app/test_pod_options.py",),
    ),
    Mutant(
        "label-own-prefix",
        without="False",
        tests=(f"{UNIT}/app/test_pod_options.py",),
    ),
    Mutant(
        "annotation-own-prefix",
        without="False",
        tests=(f"{UNIT}/app/test_pod_options.py",),
    ),
    Mutant(
        "volume-own-path",
        without="False",
        tests=(f"{UNIT}/app/test_pod_options.py",),
    ),
    Mutant(
        "pod-own-mounts",
        without="len(sources) != 1",
        tests=(f"{UNIT}/operator/plan/pod/test_pod_additions.py",),
    ),
    Mutant(
        "env-source-may-come",
        without="False",
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "spot-given-up",
        without="False",
        tests=(f"{UNIT}/operator/plan/pod/test_spot.py",),
    ),
    Mutant(
        "pod-not-root",
        without="isinstance(user, int)",
        tests=(f"{UNIT}/operator/plan/pod/test_pod_fields.py",),
    ),
    Mutant(
        "not-root",
        part="1",
        without="0",
        tests=(f"{UNIT}/app/test_pod_options.py",),
    ),
    Mutant(
        "task-names-known",
        without='problem = ""',
        tests=(f"{UNIT}/engines/kubernetes/test_driver_main.py",),
    ),
    Mutant(
        "unknown-tasks-of-this-code",
        part="contracts.code != code_of(app, limits)",
        without="False",
        tests=(f"{UNIT}/operator/plan/app/test_inspection.py",),
    ),
    Mutant(
        "gated-pods-not-unplaced",
        part=" and not self.gates",
        without="",
        tests=(f"{UNIT}/operator/plan/run/test_reconcile.py",),
    ),
    Mutant(
        "queue-eviction-uncharged",
        without="False",
        tests=(f"{SIMULATION}/test_queues.py",),
    ),
    Mutant(
        "pod-own-metadata",
        without="added = dict(asked)",
        tests=(f"{UNIT}/operator/plan/pod/test_pod_additions.py",),
    ),
    Mutant(
        "pod-own-variables",
        without="isinstance(name, str)",
        tests=(f"{UNIT}/operator/plan/pod/test_pod_additions.py",),
    ),
    Mutant(
        "worker-begins-once",
        without="pass",
        tests=(f"{UNIT}/engines/kubernetes/test_worker_calls.py",),
    ),
    Mutant(
        "worker-one-attempt",
        without="return False",
        tests=(f"{UNIT}/engines/kubernetes/test_worker_calls.py",),
    ),
    Mutant(
        "worker-own-inbox",
        without="return status",
        tests=(f"{UNIT}/engines/kubernetes/test_worker.py",),
    ),
    Mutant(
        "worker-source-digest",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_worker.py",),
    ),
    Mutant(
        "worker-kills-overdue",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_worker.py",),
    ),
    Mutant(
        "parked-at-this-length",
        without="False",
        tests=("tests/unit/operator/plan/run/test_parking.py",),
    ),
    Mutant(
        "parked-while-running",
        part='condition.phase == "Running" and ',
        without="",
        tests=("tests/unit/operator/plan/run/test_parking.py",),
    ),
    Mutant(
        "parked-calls-there",
        without="return False",
        tests=("tests/unit/operator/plan/run/test_parking.py",),
    ),
    Mutant(
        "early-park-pauses",
        part="seconds if now < max(ended_before, driver.not_before) + seconds else 0.0",
        without="0.0",
        tests=("tests/unit/operator/plan/run/test_parking.py",),
    ),
    Mutant(
        "wake-ups-share-places",
        part="bool(wakes) and observed.pod_quota.places < 1",
        without="False",
        tests=("tests/unit/operator/plan/run/test_parking.py",),
    ),
    Mutant(
        "park-when-recorded",
        part="self._open_writes or ",
        without="",
        tests=(f"{UNIT}/engines/kubernetes/test_parking.py",),
    ),
    Mutant(
        "park-without-driver-tasks",
        without="return True",
        tests=(f"{UNIT}/engines/kubernetes/test_parking.py",),
    ),
    Mutant(
        "parked-attempt",
        part="&& object.status.parked.attempt == variables.attempt",
        without="",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "draining-in-flight",
        without="drains = self.worker.drain",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "worker-names-attempt",
        without="pass",
        tests=(f"{UNIT}/engines/kubernetes/test_worker.py",),
    ),
    Mutant(
        "worker-leaves-reported",
        without="not self._calls.running",
        tests=(f"{UNIT}/engines/kubernetes/test_worker.py",),
    ),
    Mutant(
        "task-source-digest",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_task_main.py",),
    ),
    Mutant(
        "driver-source-digest",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver_main.py",),
    ),
    Mutant(
        "schema-may-reject",
        part="or TAKES_MORE in schema",
        without="",
        tests=(f"{UNIT}/operator/plan/run/test_input_validation.py",),
    ),
    Mutant(
        "contracts-of-this-code",
        without="app.contracts is None",
        tests=(f"{UNIT}/operator/plan/run/test_preconditions.py",),
    ),
    Mutant(
        "inspection-name",
        part='"" if app.inspection is None else rfc3339(app.inspection.at)',
        without='""',
        tests=(f"{UNIT}/operator/plan/app/test_inspection.py",),
    ),
    Mutant(
        "inspections-bounded",
        without="False",
        tests=(f"{UNIT}/operator/plan/app/test_inspection.py",),
    ),
    Mutant(
        "update-precondition",
        part='{"op": "replace", "path": "/metadata/resourceVersion", "value": str(version)},',
        without="",
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "commit-precondition",
        without='return {"metadata": {}, "status": status}',
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "delete-by-uid",
        without='options: JSONObject = {"propagationPolicy": "Background"}',
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "adopt-own-pod",
        without="existing",
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "adopt-own-object",
        without="not answer",
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "adopt-same-page",
        without="not answer",
        tests=(f"{UNIT}/operator/act/test_executor.py",),
    ),
    Mutant(
        "leader-writes",
        without="False",
        tests=(f"{UNIT}/operator/leader/test_gate.py",),
    ),
    Mutant(
        "commit-once",
        part="and task.key not in observed.committed_keys",
        without="",
        tests=(
            f"{UNIT}/operator/plan/run/test_commit.py",
            f"{UNIT}/operator/plan/run/test_reconcile.py",
        ),
    ),
    Mutant(
        "commit-needs-pages",
        without="False",
        tests=(
            f"{UNIT}/operator/plan/run/test_commit.py",
            f"{UNIT}/operator/plan/run/test_reconcile.py",
        ),
    ),
    Mutant(
        "page-before-status",
        without="return [*patch, *page]",
        tests=(
            f"{UNIT}/operator/plan/run/test_commit.py",
            f"{UNIT}/operator/plan/run/test_reconcile.py",
        ),
    ),
    Mutant(
        "sequence-without-gap",
        without="False",
        tests=(
            f"{UNIT}/operator/observe",
            f"{UNIT}/operator/plan",
        ),
    ),
    Mutant(
        "sequence-across-pages",
        without="pass",
        tests=(
            f"{UNIT}/operator/observe",
            f"{UNIT}/operator/plan",
        ),
    ),
    Mutant(
        "driver-sequence-without-gap",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_ledger.py",),
    ),
    Mutant(
        "driver-output-digest",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "output-digest",
        without="return True",
        tests=(
            f"{UNIT}/operator/observe",
            f"{UNIT}/operator/plan",
        ),
    ),
    Mutant(
        "older-version-ignored",
        without="meta.uid in self._tombstones",
        tests=(f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "deleted-stays-deleted",
        without="known is not None and known[1] >= meta.version",
        tests=(f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "list-removes",
        without="pass",
        tests=(f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "rest-is-no-silence",
        part="max(self._last_contact, self._resting_until)",
        without="self._last_contact",
        tests=(
            f"{UNIT}/operator/observe",
            f"{UNIT}/operator/test_liveness.py",
        ),
    ),
    Mutant(
        "depth-before-decode",
        without="False",
        tests=(f"{UNIT}/operator/kube/test_decode.py",),
    ),
    Mutant(
        "write-is-done",
        without="raise",
        tests=(f"{UNIT}/operator/kube/test_client.py",),
    ),
    Mutant(
        "answer-size",
        without="False",
        tests=(f"{UNIT}/operator/kube/test_client.py",),
    ),
    Mutant(
        "page-bytes",
        part="min(page * GROWTH, most, PAGE_BYTES // max(longest, 1))",
        without="min(page * GROWTH, most)",
        tests=(f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "page-too-large",
        without="True",
        tests=(f"{UNIT}/operator/observe/test_paging.py",),
    ),
    Mutant(
        "time-by-offset",
        without="isinstance(value, Decimal)",
        tests=(f"{UNIT}/contracts/test_codec.py",),
    ),
    Mutant(
        "number-mark-in-text",
        without="True",
        tests=(f"{UNIT}/contracts/test_codec.py",),
    ),
    Mutant(
        "union-is-readable",
        part="not discriminated and _objects_clash(first, second)",
        without="False",
        tests=(f"{UNIT}/contracts/test_safety.py",),
    ),
    Mutant(
        "timer-maximum",
        part="MAX_SECONDS",
        without="float('inf')",
        tests=(f"{UNIT}/app/test_extremes.py",),
    ),
    Mutant(
        "decorator-above-task",
        without="False",
        tests=(f"{UNIT}/app/test_decorators.py",),
    ),
    Mutant(
        "fork-needs-clean-app",
        without="False",
        tests=(f"{UNIT}/engines/local/test_forking.py",),
    ),
    Mutant(
        "source-folder-first",
        without="self.directory not in sys.path",
        tests=(f"{UNIT}/cli/test_which_file.py",),
    ),
    Mutant(
        "source-module",
        without="pass",
        tests=(f"{UNIT}/cli/test_which_file.py",),
    ),
    Mutant(
        "input-check-bounded",
        without="False",
        tests=(f"{UNIT}/operator/plan/test_hostile_inputs.py",),
    ),
    Mutant(
        "schema-reference-once",
        without="pass",
        tests=(f"{UNIT}/operator/plan/test_hostile_inputs.py",),
    ),
    Mutant(
        "retry-delay-overflow",
        without="raise",
        tests=(f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "time-in-calendar",
        part="min(max(seconds, 0.0), LAST_SECOND)",
        without="seconds",
        tests=(f"{UNIT}/operator/plan/test_hostile_numbers.py",),
    ),
    Mutant(
        "expired-version",
        without="return Progress(self.version, self.failures + 1)",
        tests=(f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "vanished-pod-kept",
        without="pass",
        tests=(f"{UNIT}/operator/observe",),
    ),
    Mutant(
        "vanished-pod-forgotten",
        without="pass",
        tests=(
            f"{UNIT}/operator/observe",
            f"{SIMULATION}/test_found.py",
        ),
    ),
    Mutant(
        "action-in-flight",
        without="pass",
        tests=(f"{UNIT}/operator/reconcile/test_run_worker.py",),
    ),
    Mutant(
        "disruption-budget",
        without="False",
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "lost-node",
        without="False",
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "container-by-name",
        without="return next(iter(statuses), {})",
        tests=(f"{UNIT}/wire/test_containers.py",),
    ),
    Mutant(
        "own-container-ended",
        part="or self.exit_code is not None",
        without="",
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "running-despite-sidecar",
        without='pod.phase == "Pending"',
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "gated-pod-waits",
        without="False",
        tests=(f"{UNIT}/operator/plan/call/test_pod_status.py",),
    ),
    Mutant(
        "restart-backoff",
        without="True",
        tests=(f"{UNIT}/operator/plan/call/test_pod_replacement.py",),
    ),
    Mutant(
        "image-as-requested",
        part="pod.asked_image",
        without="pod.image",
        tests=(f"{UNIT}/operator/plan/run/test_stall.py",),
    ),
    Mutant(
        "log-container",
        without='query = {"timestamps": "true"}',
        tests=(f"{UNIT}/cli/test_on_cluster.py",),
    ),
    Mutant(
        "log-since-run",
        without="pass",
        tests=(f"{UNIT}/cli/test_warm_logs.py",),
    ),
    Mutant(
        "shared-pod-log",
        without="False",
        tests=(f"{UNIT}/cli/test_warm_logs.py",),
    ),
    Mutant(
        "warm-pod-once",
        without="pod is None",
        tests=(f"{UNIT}/cli/test_warm_logs.py",),
    ),
    Mutant(
        "abandon-after-replay",
        without="not self._to_abandon",
        tests=(f"{UNIT}/replay/test_route.py",),
    ),
    Mutant(
        "input-recorded",
        without="pass",
        tests=(f"{UNIT}/engines/local/test_begun_with.py",),
    ),
    Mutant(
        "default-factory-varies",
        part="code.co_names or",
        without="",
        tests=(f"{UNIT}/contracts/test_identity_form.py",),
    ),
    Mutant(
        "yielding-attempt-frees-slot",
        part="len(self._running) - len(self._cancelling) <",
        without="len(self._running) <",
        tests=(f"{UNIT}/engines/local/test_dispatcher.py",),
    ),
    Mutant(
        "calls-after-replay",
        without="not self._held",
        tests=(
            "tests/simulation/route/test_golden_ledgers.py",
            f"{UNIT}/replay/test_route.py",
            f"{UNIT}/replay/test_run.py",
        ),
    ),
    Mutant(
        "completion-has-call",
        without="self.consumed += 1\nreturn",
        tests=(
            f"{UNIT}/replay/test_route.py",
            f"{UNIT}/replay/test_run.py",
        ),
    ),
    Mutant(
        "in-flight-called-again",
        without="pass",
        tests=(f"{UNIT}/replay/test_divergence.py",),
    ),
    Mutant(
        "gate-mode-fixed",
        without="True",
        tests=(f"{UNIT}/replay/test_preflight.py",),
    ),
    Mutant(
        "adopt-own-task",
        without="spec",
        tests=(f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "follow-own-run",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "deleted-calls-recreated",
        without="pass",
        tests=(f"{UNIT}/engines/kubernetes/test_driver.py",),
    ),
    Mutant(
        "report-before-exit",
        without="return 0",
        tests=(f"{UNIT}/engines/kubernetes/test_task_main.py",),
    ),
    Mutant(
        "report-retried",
        without="_MAY_PASS: Final = (Conflict, Forbidden, Unauthorized, Unreachable)",
        tests=(f"{UNIT}/engines/kubernetes/test_report.py",),
    ),
    Mutant(
        "lost-answer",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_report.py",),
    ),
    Mutant(
        "only-current-attempt",
        part='"variables.isOperator || variables.isCurrent"',
        without='"true"',
        tests=("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "finished-is-final",
        part='"variables.isOperator || !variables.finished || variables.unchanged"',
        without='"true"',
        tests=("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "finished-not-deleted",
        part="request.operation != 'DELETE' || size",
        without="true || size",
        tests=("tests/cluster/test_admission.py",),
        cluster=True,
    ),
    Mutant(
        "no-foreign-path",
        without="False",
        tests=(f"{UNIT}/contracts/test_paths.py",),
    ),
    Mutant(
        "no-path-across-pods",
        without="return path",
        tests=(f"{UNIT}/contracts/test_paths.py",),
    ),
    Mutant(
        "input-path-on-cluster",
        part='paths="keep" if info.own_disk else "refuse"',
        without='paths="keep"',
        tests=(f"{UNIT}/engines/kubernetes/test_driver_main.py",),
    ),
    Mutant(
        "no-pod-files",
        without="False",
        tests=(f"{UNIT}/storage/test_forbidden.py",),
    ),
    Mutant(
        "mounted-secrets-known",
        without="pass",
        tests=(f"{UNIT}/engines/kubernetes/test_mounted_secrets.py",),
    ),
    Mutant(
        "own-host",
        without="len(hosts) != 1",
        tests=(f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "own-origin",
        without="False",
        tests=(f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "token-audience",
        without="False",
        tests=(f"{UNIT}/server/test_cluster_access.py",),
    ),
    Mutant(
        "token-checks-bounded",
        without="False",
        tests=(f"{UNIT}/server/test_abuse.py",),
    ),
    Mutant(
        "request-timeout",
        without="pass",
        tests=(f"{UNIT}/server/test_connections.py",),
    ),
    Mutant(
        "review-binding",
        part='"name": names.HANDLER_SERVICE_ACCOUNT',
        without='"name": "default"',
        tests=(f"{UNIT}/operator/act/test_service_accounts.py",),
    ),
    Mutant(
        "pod-of-this-run",
        part="+ string(variables.attempt) + '-' + variables.incarnation",
        without="+ string(variables.attempt) + variables.pod.substring(size(variables.pod) - 9)",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "assigned-pod-uid",
        part="&& (!variables.assigned || variables.podUid == oldObject.status.pod.uid)",
        without="",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "assigned-attempt",
        part="|| object.status.?reportedAttempt.orValue(0) == variables.attempt",
        without="|| true",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "driver-of-this-run",
        part="&& (variables.incarnation == '' || variables.pod.endsWith('-' + variables.incarnation))",
        without="",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "no-own-account",
        part="!(variables.account in ['apprun-driver', 'apprun-handler'])",
        without="true || !(variables.account in ['apprun-driver', 'apprun-handler'])",
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "author-creates-pods",
        part="\"authorizer.group('').resource('pods').namespace(request.namespace).check('create').allowed()\"",
        without='"true"',
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "handler-creates-services",
        part="&& authorizer.group('').resource('services').namespace(request.namespace).check('create').allowed()",
        without="",
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "author-uses-account",
        part="variables.account in ['', 'default', 'apprun-task']",
        without="true",
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "changed-app-is-judged",
        part='{{ include "apprun.cel.isAnotherApp" . | quote }}',
        without="\"request.operation == 'CREATE'\"",
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "driver-uses-account",
        part="variables.account in ['', 'default', 'apprun-task']",
        without="true",
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "pod-field-allowed",
        part='"size(variables.{{ $variable }}) == 0"',
        without='"true"',
        tests=("tests/cluster/test_who_may.py",),
        cluster=True,
    ),
    Mutant(
        "refused-call-fails-the-run",
        without="False",
        tests=(f"{UNIT}/engines/kubernetes/test_api.py",),
    ),
    Mutant(
        "pod-names-reserved",
        part='"false"',
        without='"true"',
        tests=("tests/cluster/test_identity.py",),
        cluster=True,
    ),
    Mutant(
        "pod-name-of-run",
        without='return f"{app_task}-{attempt}"',
        tests=(
            f"{UNIT}/operator/plan/test_identity.py",
            f"{SIMULATION}/test_identity.py",
        ),
    ),
    Mutant(
        "shared-pod-disruption",
        part='reuse["concurrency"] > 1',
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "pool-shape-altered",
        part="names.pool_name(name, digest([uid, body])) != worker.pool",
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "inbox-rewritten",
        part="missing or altered",
        without="altered",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "assignments-in-flight",
        part="[each for each in observed.assigning if each.pod_uid == pod.meta.uid and each.task not in known]",
        without="[]",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "inbox-size",
        part="size + len(entry.data) > MAX_INBOX_BYTES",
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "inbox-calls",
        part="calls[:MAX_INBOX_CALLS]",
        without="calls",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "warm-pod-of-inbox",
        part="pod.meta.owner_uid != worker.meta.uid",
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "pool-within-max",
        part='reuse["replicas"]["max"]',
        without="10_000",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "acknowledged-in-time",
        part="now >= since + allowed",
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "dropped-call-replaced",
        part="now >= since + DROPPED_SECONDS",
        without="False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "prefetch-behind-short",
        without="is_long = False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "append-to-known-tail",
        without="not isinstance(entries, list)",
        tests=(f"{UNIT}/operator/act/test_patches.py",),
    ),
    Mutant(
        "max-calls-counted",
        without="used_up = False",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "drained-before-deleted",
        without="drained = warm.worker.drain",
        tests=(f"{UNIT}/operator/plan/pool/test_pool.py",),
    ),
    Mutant(
        "strays-occupy",
        without="calls.strays, released_at = 0, None",
        tests=(f"{UNIT}/operator/plan/run/test_stray_pods.py",),
    ),
    Mutant(
        "gone-run-occupies",
        without="demand, released_at = remaining_demand(key.name, (), now)",
        tests=("tests/simulation/operator/test_runs.py",),
    ),
    Mutant(
        "last-pod-wakes",
        without="pass",
        tests=(f"{UNIT}/operator/observe/test_cache.py",),
    ),
    Mutant(
        "feed-goes-on",
        without="raise",
        tests=(f"{UNIT}/operator/observe/test_kopf_feed.py",),
    ),
    Mutant(
        "feed-keeps-newest",
        without="True",
        tests=(f"{UNIT}/operator/observe/test_kopf_feed.py",),
    ),
    Mutant(
        "unknown-stays-deleted",
        without="False",
        tests=(f"{UNIT}/operator/observe/test_kopf_feed.py",),
    ),
    Mutant(
        "strays-deleted",
        without="False",
        tests=(f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "strays-of-this-run",
        part="pod.meta.owner_uid == task.meta.uid and pod.meta.key.name != task.pod_name",
        without="pod.meta.key.name != task.pod_name",
        tests=(f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "account-allowed",
        without="task.is_first_healthy_attempt",
        tests=(f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "account-reserved",
        without="own = False",
        tests=(f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "account-of-operator",
        part="(namespace, account) != limits.own_account",
        without="True",
        tests=(f"{UNIT}/operator/plan/test_identity.py",),
    ),
    Mutant(
        "definition-account",
        without="False",
        tests=(f"{UNIT}/app/test_definition.py",),
    ),
    Mutant(
        "handler-owned",
        without="existing",
        tests=(f"{UNIT}/operator/act/test_app_executor.py",),
    ),
    Mutant(
        "handler-apply-no-force",
        without='return await api.patch(f"{path}&force=true", body, APPLY)',
        tests=(f"{UNIT}/operator/act/test_app_executor.py",),
    ),
    Mutant(
        "handler-apply-by-uid",
        part='{**body, "metadata": {**metadata, "uid": uid}}',
        without="body",
        tests=(f"{UNIT}/operator/act/test_app_executor.py",),
    ),
    Mutant(
        "handler-delete-by-uid",
        part='"preconditions": {"uid": cast("JSONObject", existing["metadata"])["uid"]}',
        without='"preconditions": {}',
        tests=(f"{UNIT}/operator/act/test_app_executor.py",),
    ),
)


def anchored(root: Path = ROOT, mutants: tuple[Mutant, ...] = MUTANTS) -> dict[str, Anchor]:
    """The anchor of each mutant's guard.

    Raises:
        GuardError: If a mutant has no anchor, an anchor no mutant, or two mutants the same guard.
    """
    found = anchors(root)
    names = [mutant.guard for mutant in mutants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise GuardError(f"hack/mutants.py has more than one entry for {', '.join(twice)}")
    if lost := sorted(set(names) - set(found)):
        raise GuardError(f"no comment '# guard: name - why' in the source for {', '.join(lost)}, see hack/mutants.py")
    for name in sorted(set(found) - set(names)):
        raise GuardError(f"{found[name].path}:{found[name].line}: the guard {name} has no entry in hack/mutants.py")
    return found


def copy_tree(folder: Path) -> None:
    """The tracked files as they are now, with this folder's virtual environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")


def without_guard(mutant: Mutant, anchor: Anchor, root: Path = ROOT) -> str:
    """The text of the guard's file without the guard."""
    return replaced((root / anchor.path).read_text("utf-8"), anchor, mutant.part, mutant.without)


def is_noticed(mutant: Mutant, anchor: Anchor, folder: Path) -> tuple[bool, str]:
    """Whether a test fails without the guard, and which."""
    target = folder / anchor.path
    original = target.read_text("utf-8")
    target.write_text(without_guard(mutant, anchor, folder), "utf-8")
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
    parser.add_argument("--only", default="", help="those whose guard's name has these words")
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.only in m.guard and (arguments.cluster or not m.cluster)]
    try:
        where = anchored()
        for mutant in chosen:
            without_guard(mutant, where[mutant.guard])
    except GuardError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not chosen:
        sys.stderr.write(f"no guard has {arguments.only!r} in its name: see hack/mutants.py\n")
        return 2
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_tree(folder)
        for mutant in chosen:
            began = time.monotonic()
            noticed, test = is_noticed(mutant, where[mutant.guard], folder)
            print(f"{'missed by' if noticed else 'NOT MISSED':10} {mutant.guard}: {test or '-'} "
                  f"({time.monotonic() - began:.0f} s)", flush=True)  # fmt: skip
            if not noticed:
                unnoticed.append(mutant.guard)
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} guards are missed by a test")
    return bool(unnoticed)


if __name__ == "__main__":
    raise SystemExit(main())
