"""What the kstatus library makes of objects: `hack/kstatus`, built from its Go module."""

from __future__ import annotations

import json
import subprocess

from hack.cluster import binaries
from tests.support.kube import Object

WORDS = ("InProgress", "Current", "Failed", "Terminating", "Unknown", "NotFound")


def statuses(objects: list[Object]) -> list[str]:
    """`InProgress`, `Current`, `Failed`, `Terminating` or `Unknown` for each."""
    program = binaries.ensure(binaries.KSTATUS_PROGRAM)
    done = subprocess.run(
        [program],
        input="\n".join(map(json.dumps, objects)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # A message may have further lines.
    words = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    statuses_ = [word for word in words if word in WORDS]
    assert len(statuses_) == len(objects), done.stdout
    return statuses_
