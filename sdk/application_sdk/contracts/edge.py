"""Inputs from outside: what callers of other versions and other programs send beside an input's own fields.

Between tasks an unknown field is an error. At the edge (HTTP, `example_input`) it is left out, and told in the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from application_sdk.wire.digest import JSONObject

_log = logging.getLogger("apprun.server")

ENVELOPE: Final = frozenset({"credentials", "workflow_id", "correlation_id", "workflow_type", "app_name"})
"""Fields that the App Framework's callers put around an input. Without a field of that name they aren't the input's."""
_SHOWN: Final = 10
_LENGTH: Final = 60


def without_unknown(contract: type[BaseModel], given: JSONObject) -> JSONObject:
    """`given` without what is no field of `contract`. A contract that says `extra=` itself is given everything."""
    if contract.model_config.get("extra") != "forbid":
        return given
    known = _read_as(contract)
    if known is None:
        return given
    unknown = [name for name in given if name not in known]
    told = sorted(name[:_LENGTH] for name in unknown if name not in ENVELOPE)
    if told:
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        # Names only: values may be secrets. As `repr`, since whoever sends them chooses them.
        listed = ", ".join(map(repr, told[:_SHOWN]))
        _log.warning("%s has no field %s%s: left out of the input", contract.__name__, listed, more)
    return {name: value for name, value in given.items() if name in known}


def _read_as(contract: type[BaseModel]) -> set[str] | None:
    """The names under which fields are read; None where that is more than names."""
    names: set[str] = set()
    for name, field in contract.model_fields.items():
        names.add(name)
        for alias in (field.alias, field.validation_alias):
            if isinstance(alias, str):
                names.add(alias)
            elif alias is not None:
                return None
    return names
