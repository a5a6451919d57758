"""A driver's word that it is at work: its threads end when the driver does."""

from __future__ import annotations

import threading
from typing import cast

import pytest
from typing_extensions import override

from application_sdk.engines.kubernetes import driver_heartbeat
from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.driver_heartbeat import DriverHeartbeat


class _Api:
    def __init__(self, *, has_created: bool = False) -> None:
        self.has_created = has_created
        self.written: list[object] = []

    def set_status(self, plural: str, name: str, fields: object) -> None:
        self.written.append(fields)


@pytest.mark.parametrize("has_created", [True, False])
def test_driver_that_has_called_a_task_needs_no_word(has_created: bool) -> None:
    api = _Api(has_created=has_created)
    speaker = DriverHeartbeat(cast("Api", api), "r1-driver", "node1", 0.0, first_word=0.0)
    speaker._thread.start()
    speaker._set_progress("the route computes")
    speaker.stop()
    told = [key for fields in api.written for key in cast("dict[str, object]", fields)]
    assert ("startedAt" in told) is not has_created


def test_stop_between_two_looks_ends_the_thread() -> None:
    """`stop` comes right before the thread takes back what had woken it."""
    speaker = DriverHeartbeat(cast("Api", _Api()), "r1-driver", "", 0.0, first_word=0.0)

    class Changed(threading.Event):
        @override
        def clear(self) -> None:
            speaker._stop.set()
            self.set()
            super().clear()

    speaker._changed = Changed()
    speaker._thread.start()
    speaker._thread.join(driver_heartbeat.STOP_SECONDS * 5)
    assert not speaker._thread.is_alive()
