"""The recorder goes on while the API server is away; a fault of its own is never silent."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hack.restarts import Expectation, OperatorPod
from tests.support.recorder import recorder as module
from tests.support.recorder.recorder import Recorder
from tests.support.recorder.sampler import Sample, Sampler

POD = OperatorPod("system", "apprun-a", "a", "node1", restarts=0, ready=True, leaving=False)


@dataclass
class Announced:
    all: list[Expectation] = field(default_factory=list)


@dataclass
class Bed:
    kubeconfig: Path
    name: str = "test"
    terminations: Announced = field(default_factory=Announced)


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    """A cluster at an address where nobody listens."""
    names = {"cluster": "c", "user": "u"}
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": names}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Bed(path)


def recording(bed: Bed, tmp_path: Path) -> Recorder:
    return Recorder(bed, tmp_path / "recordings", every=0.01)  # type: ignore[arg-type]


def test_api_server_that_is_away_is_recorded(bed: Bed, tmp_path: Path) -> None:
    with recording(bed, tmp_path) as recorder:
        recorder.note("begins")
        deadline = time.monotonic() + 10
        while len(recorder.moments(0)) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert recorder.unexpected() == []
    moments = recorder.moments(0)
    assert len(moments) >= 5
    assert not any(moment.state["api"]["answers"] for moment in moments)


def test_fault_of_the_recorder_itself_is_raised(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slip(self: Sampler) -> Sample:
        raise KeyError("phase")

    recorder = recording(bed, tmp_path)
    recorder.__enter__()
    monkeypatch.setattr(module.Sampler, "sample", slip)
    recorder._thread.join(10)
    with pytest.raises(AssertionError, match="nothing was recorded from then on"):
        recorder.__exit__(None, None, None)
    assert "the recorder failed: KeyError" in capsys.readouterr().err


def test_deaths_are_told_unless_they_were_announced(bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [POD]
    monkeypatch.setattr(module.Sampler, "sample", lambda self: Sample(time.time(), {}, list(pods)))
    with recording(bed, tmp_path) as recorder:
        pods[:] = []
        (found,) = recorder.unexpected()
        assert found.termination.pod == POD
        assert "its events can't be read" in str(found)
        assert recorder.unexpected(since=1) == [], "that is of an earlier module"
        bed.terminations.all.append(Expectation("scaled down", 0, time.time() + 60))
        assert recorder.unexpected() == []
    assert any("apprun-a" in note for moment in recorder.moments(0) for note in moment.notes)
