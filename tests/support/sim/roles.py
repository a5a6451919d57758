"""What the chart's roles grant, read from its templates: verbs by resource."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

TEMPLATES = Path(__file__).resolve().parents[3] / "charts/apprun/templates/_helpers.tpl"

Role = Mapping[str, frozenset[str]]


def _defined(name: str) -> Role:
    """The rules between a `define` of that name and its end: plain YAML, without any templating of its own."""
    _, _, rest = TEMPLATES.read_text("utf-8").partition(f'{{{{- define "{name}" -}}}}\n')
    rules = yaml.safe_load(rest.partition("{{- end }}")[0])
    roles: dict[str, frozenset[str]] = {}
    for rule in rules:
        for resource in rule["resources"]:
            roles[resource] = roles.get(resource, frozenset()) | frozenset(rule["verbs"])
    return roles


DRIVER_ROLE: Role = _defined("apprun.driverRules")
TASK_ROLE: Role = _defined("apprun.taskRules")
LEASE = frozenset({"get", "create", "patch"})
"""Of the operator, in its own namespace (rbac-lease.yaml)."""
OPERATOR_ROLE: Role = {
    **_defined("apprun.operatorRules"),
    # What rbac-operator.yaml adds for an operator of all namespaces.
    "serviceaccounts": frozenset({"create"}),
    "rolebindings": frozenset({"create"}),
    "clusterrolebindings": frozenset({"create"}),
    "customresourcedefinitions": frozenset({"get"}),
}
