"""`python -m hack.rights` writes the table of rights in docs/security.md from the chart's roles; `--check` only says
whether it is stale.

It reads the templates themselves, so that it needs no helm: the rules in them are plain YAML, and what stands between
braces is a name, an `include` of rules, or a condition, whose content counts whether it holds or not. A cluster test
compares the table with what helm renders. The comment above a rule is its reason.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hack.generated import update

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "apprun"
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- begin rights -->", "<!-- end rights -->"
RELEASE, NAMESPACE = "<release>", "<namespace>"

_DEFINE = re.compile(
    r'^\{\{- define "(?P<name>[\w.]+Rules|apprun\.operatorSubject)" -\}\}\n(?P<body>.*?)^\{\{- end \}\}',
    re.MULTILINE | re.DOTALL,
)
_INCLUDE = re.compile(r'^(?P<indent> *)\{\{- include "(?P<name>[\w.]+)" \S+ \| nindent \d+ \}\}$', re.M)
_ACCOUNTS = re.compile(r"\$account := list (?P<names>[^}]+?) \}\}")
_OWN_NAME = re.compile(r'\$name := printf "%s-([\w-]+)"')
_ROLE_KINDS = ("Role", "ClusterRole")
_BINDING_KINDS = ("RoleBinding", "ClusterRoleBinding")
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

# One document of YAML, with as many kinds of fields as Kubernetes has.
Document = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Right:
    """One rule of one role."""

    role: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    why: str = ""

    @property
    def grants(self) -> frozenset[tuple[str, ...]]:
        """Each single thing that it lets do: role, group, resource, verb, names."""
        return frozenset(
            (self.role, group, resource, verb, *self.names)
            for group in self.groups
            for resource in self.resources
            for verb in self.verbs
        )


def of_documents(documents: Iterable[Document]) -> tuple[list[Right], dict[str, list[str]]]:
    """The rights of these objects, and to whom each role is bound."""
    rights: dict[Right, None] = {}
    holders: dict[str, list[str]] = {}
    for document in documents:
        kind, metadata = document.get("kind"), document.get("metadata") or {}
        if kind in _ROLE_KINDS:
            rights |= dict.fromkeys(_rights(str(metadata["name"]), document))
            for label in metadata.get("labels") or {}:
                if label.startswith(_AGGREGATE):
                    _note(holders, metadata["name"], f"the cluster's role `{label.removeprefix(_AGGREGATE)}`")
        elif kind in _BINDING_KINDS:
            for subject in document["subjects"]:
                _note(holders, document["roleRef"]["name"], _subject(subject))
    return list(rights), holders


def templates(chart: Path = CHART) -> list[Document]:
    """Roles and bindings in the chart's templates, with the names of a release called `<release>`."""
    defined = {
        match["name"]: match["body"]
        for path in sorted((chart / "templates").rglob("*.tpl"))
        for match in _DEFINE.finditer(path.read_text("utf-8"))
    }
    documents: list[Document] = []
    for path in sorted((chart / "templates").rglob("*.yaml")):
        text = path.read_text("utf-8")
        if "rbac.authorization.k8s.io/v1" in text:
            documents += _parsed(text, defined)
    return documents


def table(documents: Iterable[Document]) -> str:
    """The rights as a Markdown table."""
    rights, holders = of_documents(documents)
    rows = ["| role | held by | on | verbs | for |", "| --- | --- | --- | --- | --- |"]
    before = ""
    for right in rights:
        first = right.role != before
        role = f"`{right.role}`" if first else ""
        held = ", ".join(holders.get(right.role, ["nobody, until it is bound"])) if first else ""
        rows.append(f"| {role} | {held} | {_object(right)} | {', '.join(right.verbs)} | {right.why} |")
        before = right.role
    return "\n".join(rows)


def rendered(page: str, documents: Iterable[Document]) -> str:
    """The page with today's table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(documents)}\n\n{END}{after}"


def _parsed(text: str, defined: Mapping[str, str]) -> Iterator[Document]:
    text = re.sub(r"\{\{/\*.*?\*/\}\}", "", text, flags=re.S)
    accounts, own_name = _ACCOUNTS.search(text), _OWN_NAME.search(text)
    if own_name:
        text = text.replace("{{ $name }}", f"{RELEASE}-{own_name[1]}")
    for part in re.split(r"^---$", text, flags=re.M):
        names = re.findall(r'"(\w+)"', accounts["names"]) if accounts and "$account" in part else [""]
        for name in names:
            one = part.replace('(printf "apprun.%sRules" $account)', f'"apprun.{name}Rules"')
            one = _for_account(one, name)
            one = _INCLUDE.sub(lambda match: _indented(defined.get(match["name"], ""), match["indent"]), one)
            document = yaml.safe_load(_with_reasons(_without_braces(one, name)))
            if isinstance(document, dict) and document.get("kind") in (*_ROLE_KINDS, *_BINDING_KINDS):
                yield document


def _for_account(text: str, name: str) -> str:
    """Of `if eq $account "x"` and its `else`, what holds for this account."""
    pattern = re.compile(
        r'^ *\{\{- if eq \$account "(\w+)" \}\}\n(.*?)^ *\{\{- else \}\}\n(.*?)^ *\{\{- end \}\}\n', re.M | re.S
    )
    return pattern.sub(lambda match: match[2] if match[1] == name else match[3], text)


def _indented(body: str, indent: str) -> str:
    return "\n".join(f"{indent}{line}" for line in body.splitlines())


def _without_braces(text: str, account: str) -> str:
    text = re.sub(r'\{\{ include "apprun.clusterScoped" \(dict "name" "([\w-]+)"[^}]*\}\}', r"apprun-\1", text)
    text = re.sub(r'\{\{ include "apprun\.(fullname|serviceAccountName)" [^}]*\}\}', RELEASE, text)
    text = text.replace("{{ $account }}", account)
    text = re.sub(r"^ *\{\{-.*?\}\}$\n?", "", text, flags=re.M)
    return re.sub(r"\{\{.*?\}\}", NAMESPACE, text)


def _with_reasons(text: str) -> str:
    """The comments above rules as a field of theirs."""
    lines: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            comment.append(bare.removeprefix("#").strip())
            continue
        lines.append(line)
        if bare.startswith("- apiGroups:") and comment:
            lines.append(f"{' ' * line.index('-')}  why: {json.dumps(' '.join(comment))}")
        comment = []
    return "\n".join(lines)


def _rights(role: str, document: Document) -> Iterator[Right]:
    for rule in document.get("rules") or ():
        yield Right(
            role,
            tuple(rule.get("apiGroups") or ("",)),
            tuple(rule.get("resources") or rule.get("nonResourceURLs") or ()),
            tuple(rule["verbs"]),
            tuple(rule.get("resourceNames") or ()),
            str(rule.get("why") or ""),
        )


def _note(holders: dict[str, list[str]], role: str, holder: str) -> None:
    noted = holders.setdefault(role, [])
    if holder not in noted:
        noted.append(holder)


def _subject(subject: Mapping[str, str]) -> str:
    name, kind = subject["name"], subject["kind"]
    if kind == "Group" and name == "system:serviceaccounts":
        return "every service account of the cluster"
    if kind == "Group" and name.startswith("system:serviceaccounts:"):
        return "every service account of the namespace"
    return f"{'service account' if kind == 'ServiceAccount' else kind.lower()} `{name}`"


def _object(right: Right) -> str:
    resources = ", ".join(f"`{resource}`" for resource in right.resources)
    group = ", ".join(f"`{group}`" for group in right.groups if group)
    only = f", only {', '.join(f'`{name}`' for name in right.names)}" if right.names else ""
    return f"{resources}{f' ({group})' if group else ''}{only}"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when all is current (or was written), 1 when `--check` found it stale."""
    parser = argparse.ArgumentParser(prog="python -m hack.rights", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is stale")
    options = parser.parse_args(arguments)
    return update(PAGE, rendered(PAGE.read_text("utf-8"), templates()), check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
