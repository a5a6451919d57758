"""The same end of an attempt has the same word on a laptop and on a cluster, since routes branch on it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from tests.support.records import LIMITS

from application_sdk.cli.views.reason_help import ATTEMPT, RUN
from application_sdk.engines.local.run_store import RunStore
from application_sdk.engines.local.runs import ExecutionOptions, RunRequest, create_run, execute, process_executor
from application_sdk.engines.local.source import find_source
from application_sdk.engines.processes.source import AppSource
from application_sdk.wire import reasons
from apprun_operator.observe import parse_pod
from apprun_operator.plan.call.pod_status import PodEnded, of_pod
from apprun_operator.telemetry.samples import END_REASONS

APP = """
    import os, signal, time
    from application_sdk.app import App, TaskFailedError, task
    from application_sdk.contracts import Input, Output

    class How(Input):
        how: str

    class Ended(Output):
        type: str = ""

    class Ends(App):
        @task(retry_max_attempts=1, heartbeat_timeout_seconds=0.4, auto_heartbeat_seconds=0.1)
        async def end(self, input: How) -> Ended:
            if input.how == "exit code 3":
                os._exit(3)
            if input.how == "exit code 0 without a report":
                os._exit(0)
            if input.how == "segmentation fault":
                os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
            return Ended()

        async def run(self, input: How) -> Ended:
            try:
                return await self.end(input)
            except TaskFailedError as error:
                return Ended(type=error.type)
"""
PODS = json.loads((Path(__file__).parents[1] / "operator" / "plan" / "recorded_pods.json").read_text())
ENDS_OF_BOTH = ("exit code 3", "exit code 0 without a report", "segmentation fault", "no heartbeat")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> AppSource:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "ends_of_attempts.py").write_text(textwrap.dedent(APP))
    return find_source(f"{folder / 'ends_of_attempts.py'}:Ends", folder)


@pytest.mark.parametrize("how", ENDS_OF_BOTH)
def test_routes_see_the_type_that_a_cluster_gives(how: str, source: AppSource, tmp_path: Path) -> None:
    app_class, home = source.load(), RunStore(tmp_path / "home")
    create_run(home, "ends-1", RunRequest(source, app_class.definition.name, "run", {"how": how}))
    with process_executor(source) as executor:
        run = execute(home, "ends-1", app_class, source, executor, ExecutionOptions())
    # The pod of the same program, as a real cluster has shown it.
    pod = parse_pod.pod(PODS[how])
    reading = of_pod(pod, pod.meta.created + 60, LIMITS)
    assert isinstance(reading, PodEnded)
    assert run.output == {"type": reading.reason}


def test_every_reason_has_a_remedy() -> None:
    words = reasons.ON_EVERY_ENGINE | reasons.ON_A_CLUSTER | reasons.ON_A_LAPTOP
    assert words <= ATTEMPT.keys() | RUN.keys()


def test_metrics_name_every_reason_of_a_cluster() -> None:
    assert reasons.ON_EVERY_ENGINE | reasons.ON_A_CLUSTER <= END_REASONS
    assert not reasons.ON_A_LAPTOP & END_REASONS
