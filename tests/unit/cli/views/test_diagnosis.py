"""`describe`: sentences with cause and remedy, from a run's records alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from application_sdk.cli.sources.records import Attempt, Call, Run, RunDetails
from application_sdk.cli.views.diagnosis import Finding, explain
from application_sdk.cli.views.reason_help import APP, ATTEMPT, RUN, of_attempt, of_run

NOW = 1000.0
OPERATIONS = Path(__file__).parents[4] / "docs" / "operations.md"


def run(phase: Any = "Running", **fields: Any) -> Run:
    return Run(name="r", phase=phase, app="hello", entry="app:Hello", created_at=900.0, namespace="team", **fields)


def call(state: Any, task: str = "fetch", key: str = "a" * 32, **fields: Any) -> Call:
    return Call(key=key, task=task, role="task", state=state, input={}, called_at=990.0, **fields)


def a_driver(state: Any = "Running", **fields: Any) -> Call:
    """The route's own call, heard from a moment ago unless told otherwise."""
    about: dict[str, Any] = {"has_reported": True, "started_at": 991.0, "called_at": 990.0, **fields}
    return Call(key="driver", task="run", role="driver", state=state, input={}, **about)


def said(found: Run, *calls: Call, local: bool = False, driver: Call | None = None) -> list[Finding]:
    return explain(RunDetails(found, calls, driver or (None if local else a_driver())), NOW, local=local)


def test_there_is_always_something_to_say() -> None:
    for phase in ("Pending", "Running", "Suspended", "Stalled", "Cancelling", "Succeeded", "Failed", "Cancelled"):
        (first, *_) = said(run(phase))
        assert first.what.endswith((".", ":", " ")) or first.what


def test_a_run_that_works_is_said_to() -> None:
    (finding,) = said(run(), call("Running", node="node1", started_at=995.0))
    assert finding.weight == "fine"
    assert finding.what == "Nothing is wrong: fetch has been at work on node1 for 5.0 s."


def test_a_run_that_nobody_looks_at_points_to_the_operator() -> None:
    (finding,) = said(run("Pending", reason="NotSeen"))
    assert "operator" in finding.remedy
    assert "apprun doctor" in finding.remedy


@pytest.mark.parametrize(
    ("reason", "words"),
    [("AppNotFound", "apprun deploy"), ("InvalidInput", "--input"), ("LoadFailed", "Correct the code"),
     ("ImagePullFailed", "image"), ("NonDeterministicRun", "apprun check --replay")],
)  # fmt: skip
def test_a_stall_is_told_with_its_message_and_what_corrects_it(reason: str, words: str) -> None:
    (finding,) = said(run("Stalled", reason=reason, message="the very words"))
    assert finding.weight == "problem"
    assert "the very words" in finding.what
    assert words in finding.remedy


def test_equal_waits_of_many_calls_are_told_once() -> None:
    waiting = [call("Waiting", key=f"{n:032}", message="Unschedulable: no node takes the pod") for n in range(7)]
    (finding,) = said(run(), *waiting)
    assert finding.what == "7 calls of fetch can't start: Unschedulable: no node takes the pod"
    assert "cpu" in finding.remedy


def test_a_failed_run_names_call_line_traceback_and_log() -> None:
    last = Attempt(3, "ValueError", "App", "no such page", log="page 1\npage 2\n")
    failed = call("Failed", line="app.py:12", attempt=3, attempts=(last,),
                  error={"type": "ValueError", "message": "no such page", "traceback": "Traceback …"})  # fmt: skip
    error: Any = {"type": "TaskFailedError", "message": "task 'fetch' failed"}
    first, second = said(run("Failed", error=error), failed)
    assert "TaskFailedError" in first.what
    assert second.what == "fetch (aaaaaaaa), called at app.py:12, failed after 3 attempts: ValueError: no such page."
    assert second.details.splitlines() == ["Traceback …", "", "the end of its log:", "page 1", "page 2"]
    assert "apprun logs r fetch" in second.remedy


def test_the_remedy_is_retry_locally_and_submit_on_a_cluster() -> None:
    failed = call("Failed", attempts=(Attempt(1, "ValueError", "App"),), error={"type": "ValueError", "message": "x"})
    assert "apprun retry r" in said(run("Failed"), failed, local=True)[-1].remedy
    assert "submit a new run" in said(run("Failed"), failed)[-1].remedy


def test_a_run_that_its_gate_refused_is_no_fault_of_the_code() -> None:
    refusal: Any = {"type": "PreflightFailedError", "message": "not ready to run: host: isn't known"}
    findings = said(run("Failed", error=refusal), call("Failed", "apprun.preflight", error=refusal))
    assert "host: isn't known" in findings[0].what
    assert "Mend what the message names" in findings[0].remedy
    assert not any("Correct the code" in finding.remedy for finding in findings)


def test_what_ran_out_of_memory_is_told_to_ask_for_more() -> None:
    dead = Attempt(1, "OOMKilled", "App", "the container used more memory than its limit")
    (finding,) = said(run(), call("Retrying", attempts=(dead,), due_at=1003.0))
    assert "again in 3.0 s" in finding.what
    assert "memory" in finding.remedy


def test_disruptions_come_last_and_need_no_remedy() -> None:
    lost = Attempt(1, "NodeLost", "Disruption")
    waiting = call("Waiting", key="b" * 32, message="QuotaExceeded: pods 4/4")
    first, second = said(run(), call("Running", attempts=(lost,)), waiting)
    assert "QuotaExceeded" in first.what
    assert (second.weight, second.remedy.startswith("Nothing")) == ("fine", True)


def test_a_failed_image_pull_quotes_the_kubelet() -> None:
    stuck = call("Starting", message='ErrImagePull: pull "nowhere/image:1" failed')
    (finding,) = said(run(), stuck)
    assert "nowhere/image:1" in finding.what
    assert "registry" in finding.remedy


def test_queued_calls_name_the_limit_that_holds_them() -> None:
    (finding,) = said(run(message="calls wait for their turn: parallelism is 2"), call("Queued"), call("Queued"))
    assert "parallelism is 2" in finding.what
    assert "parallelism" in finding.remedy


def test_every_reason_of_the_operations_page_has_a_remedy() -> None:
    page = OPERATIONS.read_text()
    tables = re.findall(r"^\| reason \|.*?(?=\n\n)", page, re.MULTILINE | re.DOTALL)
    assert len(tables) == 2
    for table, known in zip(tables, (of_run, of_attempt), strict=True):
        rows = [line for line in table.splitlines()[2:] if line.count("|") > 2]
        reasons = {reason for line in rows for reason in re.findall(r"`([A-Z][A-Za-z]+)`", line.split("|")[1])}
        reasons -= {"Cancelled", "Corrected", "OutOfcpu", "UnexpectedAdmissionError"}
        assert reasons
        assert {reason for reason in reasons if known(reason) is None} == set()


def test_remedies_are_whole_sentences() -> None:
    for remedy in (*RUN.values(), *ATTEMPT.values(), *APP.values()):
        for text in (remedy.cause, remedy.action):
            assert text.endswith((".", ")")), text
            assert text[0].isupper() or text[0] == "`", text


# It never says that nothing is wrong of what isn't at work


def test_waiting_calls_are_no_route_that_cannot_start() -> None:
    words = "1 of 2 open calls wait, QuotaExceeded (1): exceeded quota"
    waiting = call("Waiting", message="QuotaExceeded: exceeded quota")
    findings = said(run(reason="QuotaExceeded", message=words), waiting, call("Running", has_reported=True))
    assert [finding.what for finding in findings] == [f"fetch ({'a' * 8}) can't start: QuotaExceeded: exceeded quota"]


@pytest.mark.parametrize(
    ("reason", "words"), [("NoContact", "apprun doctor -n"), ("RouteNotYielding", "Move long computations")]
)
def test_route_that_is_silent_or_does_not_yield_is_a_problem(reason: str, words: str) -> None:
    (finding,) = said(run(reason=reason, message="the very words"))
    assert (finding.weight, "the very words" in finding.what, words in finding.remedy) == ("problem", True, True)


def test_a_task_without_a_heartbeat_points_to_its_log() -> None:
    (finding,) = said(run(), call("Running", node="node1", started_at=280.0))
    assert finding.what.startswith("fetch (aaaaaaaa) has been running on node1 for 12 min 00 s, without a sign")
    assert finding.remedy == "Its log: `apprun logs r fetch`."


def test_task_that_says_how_far_it_is_is_at_work() -> None:
    (finding,) = said(run(), call("Running", started_at=280.0, has_reported=True, progress={"done": 3, "total": 9}))
    assert "at work for 12 min 00 s, and says: 3/9" in finding.what


@pytest.mark.parametrize(
    "message", ["PodEnded: its pod has ended (Failed, exit code 137)", "PodTerminating: its pod is being deleted",
                "NodeLost: node node1 doesn't answer"],
)  # fmt: skip
def test_call_whose_pod_is_not_at_work_is_said_to_be_not(message: str) -> None:
    (finding,) = said(run(), call("Running", message=message))
    assert finding.what == f"fetch (aaaaaaaa) is not at work: {message}."


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        (a_driver("Queued", started_at=None, called_at=900.0), "pod hasn't been made for 1 min 40 s"),
        (a_driver("Running", has_reported=False, started_at=960.0), "running for 40 s without a sign"),
        (a_driver("Running", message="NodeLost: node node1 doesn't answer"), "isn't at work: NodeLost"),
        (a_driver("Starting", started_at=None, called_at=900.0), "has been starting for 1 min 40 s"),
    ],
)
def test_driver_that_is_not_at_work_is_said_to_be_not(driver: Call, words: str) -> None:
    (finding,) = said(run(), driver=driver)
    assert (finding.weight, words in finding.what) == ("waiting", True)


def test_run_without_a_driver_is_told() -> None:
    (finding,) = explain(RunDetails(run(), (), None), NOW, local=False)
    assert (finding.what, "apprun doctor" in finding.remedy) == ("The run's driver isn't there.", True)


def test_calls_that_nobody_commits_are_told() -> None:
    (finding,) = said(run(), call("Succeeded", committed_at=900.0, sequence=None))
    assert (finding.weight, "has not been committed" in finding.what) == ("problem", True)


def test_timer_that_nobody_ends_is_told() -> None:
    (finding,) = said(run(), call("Sleeping", due_at=900.0))
    assert (finding.weight, finding.what) == ("problem", "A timer of the route is 1 min 40 s late.")


def test_call_that_has_just_been_made_is_being_started() -> None:
    (finding,) = said(run(), call("Starting"))
    assert finding.what == "Nothing is wrong: fetch (aaaaaaaa) is being started."


def test_a_timer_that_was_left_ends_with_its_run() -> None:
    timer = Call(key="t" * 32, task="sleep", role="timer", state="Sleeping", input={}, due_at=NOW + 3540)
    assert RunDetails(run(), (timer,)).calls[0].state == "Sleeping"
    ended = RunDetails(run("Succeeded"), (timer,)).calls[0]
    assert (ended.state, ended.due_at) == ("Cancelled", None)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("phase", ["Succeeded", "Running"])
def test_a_caught_failure_is_not_to_be_taken_back(phase: str, local: bool) -> None:
    error: Any = {"type": "ValueError", "message": "no"}
    findings = said(run(phase), call("Failed", error=error, attempt=1), local=local)
    advice = " ".join(finding.remedy for finding in findings)
    assert "apprun logs r fetch" in advice
    assert "retry" not in advice
    assert "submit" not in advice


def test_a_retried_call_on_a_laptop_gets_no_advice_of_a_cluster() -> None:
    last = Attempt(number=1, reason="ValueError", budget="App", message="no", environment="this machine")
    (finding,) = said(run(), call("Retrying", attempts=(last,), attempt=1), local=True)
    assert "deploy" not in finding.remedy
