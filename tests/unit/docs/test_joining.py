"""What people read who join the project is true: the words, the decisions, the paths and the commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.support.pages import PAGES, ROOT

GLOSSARY = ROOT / "docs/glossary.md"
DECISIONS = ROOT / "docs/adr"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORDS = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", GLOSSARY.read_text("utf-8"), re.MULTILINE)[2:]
PROSE = "\n".join(page.read_text("utf-8") for page in PAGES if page != GLOSSARY).lower()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))

TREES = {"apprun_operator": ROOT / "operator/apprun_operator", "application_sdk": ROOT / "sdk/application_sdk"}
MAP = (ROOT / "docs/assets/code-map.svg").read_text("utf-8")
ARROWS = re.findall(r'<path data-in="(\w+)" data-from="(\w+)" data-to="(\w+)"', MAP)


@pytest.mark.parametrize("word", WORDS)
def test_word_of_the_glossary_is_used_in_the_docs(word: str) -> None:
    assert re.search(rf"\b{re.escape(word)}", PROSE)


def test_glossary_is_in_alphabetical_order() -> None:
    assert len(WORDS) > 30
    assert sorted(set(WORDS)) == WORDS


def test_words_of_the_architecture_are_in_the_glossary() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    table = page.partition("## Words")[2].partition("\n## ")[0]
    words = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:]
    assert len(words) > 5
    assert set(words) <= set(WORDS)


def test_map_of_the_code_lists_every_package() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    section = page.partition("## Map of the code")[2].partition("\n## ")[0]
    listed = re.findall(r"`([\w]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)))
    packages = [init.parent.name for tree in TREES.values() for init in tree.glob("*/__init__.py")]
    assert len(packages) > 20
    assert sorted(listed) == sorted(packages)


@pytest.mark.parametrize(("tree", "package", "imported"), ARROWS)
def test_arrow_of_the_map_is_an_import(tree: str, package: str, imported: str) -> None:
    root = "application_sdk" if imported == "wire" else tree
    target = TREES[tree] / package
    modules = target.rglob("*.py") if target.is_dir() else [target.with_suffix(".py")]
    statement = re.compile(
        rf"^\s*(from|import) {root}\.{imported}\b|^\s*from {root} import .*\b{imported}\b", re.MULTILINE
    )
    assert any(statement.search(module.read_text("utf-8")) for module in modules)


def test_map_of_the_code_has_arrows_and_no_other_names() -> None:
    boxes = set(re.findall(r'class="package"[^>]*>(\w+)<', MAP))
    assert {name for _, *ends in ARROWS for name in ends} == boxes
    assert {tree for tree, _, _ in ARROWS} == set(TREES)


def test_each_decision_is_in_the_index_and_the_navigation() -> None:
    pages = sorted(page.name for page in DECISIONS.glob("[0-9]*.md"))
    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", (DECISIONS / "index.md").read_text("utf-8")) == pages
    assert re.findall(r"adr/(\d{4}-[\w-]+\.md)", (ROOT / "mkdocs.yml").read_text("utf-8")) == pages
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_decision_has_context_decision_and_consequences(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert re.search(r"^Status: (accepted|replaced by \[.+\]\(.+\))\.$", text, re.MULTILINE)


def test_paths_of_contributing_exist() -> None:
    paths = re.findall(r"\b(?:sdk|operator|charts|tests|hack)/[\w/*.-]*\w[/]?", CONTRIBUTING)
    assert len(paths) > 20
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize(
    ("function", "path"),
    [
        ("of_pod", "operator/apprun_operator/plan/call/pod_status.py"),
        ("commit", "operator/apprun_operator/plan/run/commit.py"),
        ("divergence_message", "sdk/application_sdk/replay/divergence.py"),
    ],
)
def test_contributing_leads_to_the_function(function: str, path: str) -> None:
    assert re.search(rf"`{function}` in\s+`{path}`", CONTRIBUTING)
    assert f"\ndef {function}(" in (ROOT / path).read_text("utf-8")


def test_targets_that_contributing_names_exist() -> None:
    assert set(re.findall(r"`make ([a-z-]+)", CONTRIBUTING)) <= TARGETS


def test_hooks_call_targets_that_exist() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"], "hooks download nothing"
    entries = [hook["entry"].split() for repo in config["repos"] for hook in repo["hooks"]]
    assert {entry[-1] for entry in entries if entry[0] == "make"} == {"lint", "unit"} <= TARGETS
    assert all((ROOT / entry[-1]).exists() for entry in entries if entry[0] != "make")


def test_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+?)$", MAKEFILE.replace("\\\n", " "), re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == TARGETS
