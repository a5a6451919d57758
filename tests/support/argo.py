"""Argo CD's judgement of an object: the health checks in Lua that examples/gitops ships, run as Argo CD runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from hack.chart_readme import CHART
from lupa.lua51 import LuaRuntime

HEALTH = CHART.parents[1] / "examples" / "gitops" / "argocd" / "health.yaml"
STATUSES = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")


@dataclass(frozen=True)
class Health:
    """What the check returned."""

    status: str
    message: str


def checks() -> dict[str, str]:
    """Each kind's Lua."""
    data: dict[str, str] = yaml.safe_load(HEALTH.read_text())["data"]
    prefix = "resource.customizations.health.apprun.dev_"
    return {name.removeprefix(prefix): script for name, script in data.items() if name.startswith(prefix)}


def health(item: dict[str, Any]) -> Health:
    """Argo CD puts the object into the global `obj`, gives the script no libraries but the base, and reads a table."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    scope: Any = lua.globals()
    for library in ("io", "os", "debug", "package", "require", "string", "math", "python"):
        scope[library] = None
    scope.obj = lua.table_from(item, recursive=True)
    answer: Any = lua.execute(checks()[item["kind"]])
    result = Health(str(answer["status"]), str(answer["message"]))
    assert result.status in STATUSES
    return result
