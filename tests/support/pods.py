"""Runs a pod's main as a process of its own, as the kubelet would, against a server that a test controls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MAIN = """
import sys
from application_sdk.engines.kubernetes.startup import tune_startup
tune_startup()
from application_sdk.engines.kubernetes import pod
from application_sdk.wire import names
names.POD_DIRECTORY, names.SOURCE_DIRECTORY = sys.argv[1:3]
pod.main()
"""

RETRY = {"maxAttempts": 3, "initialIntervalSeconds": 1, "maxIntervalSeconds": 60, "backoffCoefficient": 2}
KEY = "0123456789abcdef0123456789abcdef"


def call(**fields: Any) -> dict[str, Any]:
    """The call of a task pod."""
    return {
        "namespace": "ns",
        "run": "daily",
        "runUid": "run-uid",
        "appTask": f"daily-{KEY[:16]}",
        "attempt": 1,
        "role": "task",
        "key": KEY,
        "task": "work",
        "entry": "app:Subject",
        "input": {},
        "policy": {"retry": RETRY},
        "idempotencyKey": f"run-uid/{KEY}",
        "correlationId": "c",
    } | fields


@dataclass
class PodProcess:
    """Where a pod's process runs: its volume, the user's files, its environment."""

    directory: Path
    source: Path
    environ: dict[str, str]
    main: str = _MAIN
    arguments: list[str] = field(default_factory=list)

    def write(self, call: dict[str, Any] | None, **files: str) -> None:
        """Lay out the call and the user's modules; `app="…"` becomes app.py."""
        if call is not None:
            (self.directory / "call").write_text(json.dumps(call))
        self.source.mkdir(exist_ok=True)
        for name, text in files.items():
            (self.source / f"{name}.py").write_text(text)

    @contextmanager
    def start(self) -> Iterator[subprocess.Popen[str]]:
        """The process, with its output in pipes. It doesn't outlive the block."""
        process = subprocess.Popen(
            [sys.executable, "-c", self.main, str(self.directory), str(self.source), *self.arguments],
            env={**os.environ, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with self.start() as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
