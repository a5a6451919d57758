"""The page on security names each right of the chart, and is told to be stale when one is added."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hack import rights
from hack.rights import CHART, PAGE, Right


def all_grants(chart: Path = CHART) -> frozenset[tuple[str, ...]]:
    found, _ = rights.of_documents(rights.templates(chart))
    return frozenset().union(*(right.grants for right in found))


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart, to be changed."""
    return Path(shutil.copytree(CHART, tmp_path / "chart"))


def add(chart: Path, file: str, after: str, rule: str) -> None:
    path = chart / "templates" / file
    text = path.read_text("utf-8")
    assert after in text
    path.write_text(text.replace(after, f"{after}{rule}", 1), "utf-8")


def test_page_is_current() -> None:
    page = PAGE.read_text("utf-8")
    assert rights.rendered(page, rights.templates()) == page
    assert rights.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("file", "after", "rule", "granted"),
    [
        ("_helpers.tpl", '{{- define "apprun.driverRules" -}}\n',
         '- apiGroups: [""]\n  resources: [secrets]\n  verbs: [get]\n', ("apprun-driver", "", "secrets", "get")),
        ("rbac-users.yaml", "rules:\n", '  - apiGroups: [""]\n    resources: [pods]\n    verbs: [delete]\n',
         ("apprun-edit", "", "pods", "delete")),
        ("rbac-operator.yaml", '{{- include "apprun.operatorRules" . | nindent 2 }}\n',
         '  - apiGroups: ["*"]\n    resources: ["*"]\n    verbs: ["*"]\n', ("<release>-operator", "*", "*", "*")),
    ],
)  # fmt: skip
def test_right_that_is_added_makes_the_page_stale(
    chart: Path, file: str, after: str, rule: str, granted: tuple[str, ...]
) -> None:
    assert granted not in all_grants()
    add(chart, file, after, rule)
    assert granted in all_grants(chart)
    page = PAGE.read_text("utf-8")
    assert rights.rendered(page, rights.templates(chart)) != page


def test_role_that_is_added_has_rows(chart: Path) -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: more}\n"
    rule = 'rules:\n  # Why it is needed.\n  - apiGroups: [""]\n    resources: [nodes]\n    verbs: [get]\n'
    (chart / "templates" / "more.yaml").write_text(role + rule)
    assert "| `more` | nobody, until it is bound | `nodes` | get | Why it is needed. |" in rights.table(
        rights.templates(chart)
    )


def test_subject_that_is_added_is_named(chart: Path) -> None:
    add(chart, "rbac-lease.yaml", "subjects:\n", "  - kind: User\n    name: mallory\n")
    assert "user `mallory`" in rights.table(rights.templates(chart))


def test_every_role_of_the_chart_has_a_name_and_a_holder() -> None:
    found, holders = rights.of_documents(rights.templates())
    names = {right.role for right in found}
    by_hand = {"apprun-restore", "apprun-use-accounts"}
    assert names - set(holders) == by_hand, "bound by whoever restores a backup, or trusts an author with accounts"
    assert not any("$" in name or "{" in name for name in names)
    assert {"<release>-operator", "apprun-driver", "apprun-task", "apprun-handler", "apprun-view"} <= names


def test_right_is_counted_by_group_resource_and_verb() -> None:
    right = Right("r", ("a",), ("b", "c"), ("get", "list"), ("only",))
    assert right.grants == {("r", "a", resource, verb, "only") for resource in ("b", "c") for verb in ("get", "list")}
