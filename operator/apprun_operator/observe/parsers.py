"""Chooses the parser of a raw object by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from application_sdk.wire.digest import JSON
from apprun_operator.observe import parse, parse_pod, parse_worker
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.fields import Raw, Unreadable
from apprun_operator.observe.kinds import Kind
from apprun_operator.observe.pods import PodRecord
from apprun_operator.observe.records import PageRecord, RunRecord, StateRecord, TaskRecord
from apprun_operator.observe.workers import WorkerRecord

Record: TypeAlias = AppRecord | RunRecord | TaskRecord | PageRecord | StateRecord | WorkerRecord | PodRecord

PARSERS: Final[Mapping[Kind, Callable[[Raw], Record]]] = {
    "apps": parse.app,
    "appruns": parse.run,
    "apptasks": parse.task,
    "appledgers": parse.page,
    "appstates": parse.state,
    "appworkers": parse_worker.worker,
    "pods": parse_pod.pod,
}


def parse_object(kind: Kind, raw: Mapping[str, JSON]) -> Record:
    """Parse a raw object. Raises `Unreadable`, whatever is wrong with the object."""
    try:
        return PARSERS[kind](raw)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"{kind}: {error!r}") from error
