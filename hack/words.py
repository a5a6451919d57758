"""The words that this project no longer uses, and where. `make lint` runs it; docs/glossary.md has the words instead.

Names are those of Kubernetes, asyncio, durable execution and Python, so that a reader finds things under the word that
he would search for. Prose is what a native engineer would write.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

ROOT: Final = Path(__file__).resolve().parents[1]
CODE: Final = ("sdk", "operator", "hack")
PROSE: Final = ("README.md", "CONTRIBUTING.md", "docs")


Kind: TypeAlias = Literal["module", "class", "function", "phrase"]


@dataclass(frozen=True)
class Word:
    """An old word, what it is the name of, and what stands instead."""

    kind: Kind
    """Names of modules, classes and functions are looked for in CODE, phrases in PROSE. Leading underscores of a name
    don't count."""
    old: str
    new: str
    where: str = ""
    """The folder where the word is an old one; everywhere if empty."""


WORDS: Final = (
    Word("module", "absence", "operator_off"),
    Word("module", "accounts", "service_accounts"),
    Word("module", "board", "dashboard"),
    Word("module", "census", "gauges"),
    Word("module", "completing", "completion"),
    Word("module", "confidence", "secret_leaks"),
    Word("module", "describing", "describe"),
    Word("module", "detached", "standalone"),
    Word("module", "doubts", "staleness"),
    Word("module", "ending", "result"),
    Word("module", "executing", "run_session"),
    Word("module", "exits", "exit_codes"),
    Word("module", "explaining", "diagnosis"),
    Word("module", "facts", "run_state"),
    Word("module", "fence", "fenced_client"),
    Word("module", "figures", "samples"),
    Word("module", "findings", "publication"),
    Word("module", "forker", "fork_server"),
    Word("module", "interaction", "unsupported"),
    Word("module", "lag", "loop_lag"),
    Word("module", "leadership", "elector"),
    Word("module", "looking", "list_show"),
    Word("module", "normalform", "canonical"),
    Word("module", "notices", "events"),
    Word("module", "odd", "malformed"),
    Word("module", "outofscope", "unsupported_imports"),
    Word("module", "patience", "retry_request"),
    Word("module", "pins", "image_pinning"),
    Word("module", "places", "sources"),
    Word("module", "refusals", "pod_rejections"),
    Word("module", "remedies", "reason_help"),
    Word("module", "retrying", "retry_run"),
    Word("module", "routeruntime", "runtime"),
    Word("module", "shares", "pod_quota"),
    Word("module", "signs", "heartbeat_writer"),
    Word("module", "stage", "setup"),
    Word("module", "storm", "chaos"),
    Word("module", "story", "timeline"),
    Word("module", "strands", "greenlets"),
    Word("module", "surroundings", "environment"),
    Word("module", "tallies", "task_counters"),
    Word("module", "terms", "gate"),
    Word("module", "told", "namespace_dump"),
    Word("module", "turns", "round_robin"),
    Word("module", "typenames", "type_support"),
    Word("module", "typewalk", "type_checker"),
    Word("class", "Absence", "OperatorOff"),
    Word("class", "Alone", "AlwaysLeader"),
    Word("class", "Campaign", "LeaderElector"),
    Word("class", "Claim", "PodDemand", "operator"),
    Word("class", "ClusterPlace", "ClusterSource"),
    Word("class", "ForeignTask", "NameConflict"),
    Word("class", "Inheritance", "LedgerSeed"),
    Word("class", "KeptState", "SavedState"),
    Word("class", "Life", "RouteExecution"),
    Word("class", "NoSigns", "NullSink"),
    Word("class", "Pauses", "Backoff"),
    Word("class", "Place", "RunSource", "sdk/application_sdk/cli"),
    Word("class", "Room", "PodQuota", "operator"),
    Word("class", "RunFacts", "RunState"),
    Word("class", "Shares", "SlotLimiter"),
    Word("class", "Signs", "HeartbeatSink"),
    Word("class", "Standing", "RunCondition"),
    Word("class", "StateKeeper", "StateStore"),
    Word("class", "Storm", "Chaos"),
    Word("class", "Strand", "GreenletThread"),
    Word("class", "Terms", "LeaderGate"),
    Word("class", "ThisMachine", "LocalSource"),
    Word("class", "Turns", "RoundRobin"),
    Word("class", "Unexpected", "UnexpectedCompletion"),
    Word("class", "Unmade", "MissingCall"),
    Word("class", "Verdict", "CallDecision", "operator/apprun_operator/plan"),
    Word("class", "Where", "Target", "sdk/application_sdk/cli"),
    Word("class", "Wish", "RunOptions"),
    Word("class", "Wishes", "UpOptions"),
    Word("class", "Words", "PodEvent", "operator"),
    Word("function", "attend", "heartbeat"),
    Word("function", "confide", "register_secret"),
    Word("function", "cook", "run_recipe"),
    Word("function", "give_up", "cancel_call", "operator"),
    Word("function", "hasten", "tune_startup"),
    Word("function", "hear", "record_pod_event"),
    Word("function", "heard", "record_pod_event"),
    Word("function", "judge", "decide"),
    Word("function", "leak", "find_leak", "sdk/application_sdk/execution"),
    Word("function", "meddle", "interfere"),
    Word("function", "resign", "release"),
    Word("function", "said", "message"),
    Word("function", "say", "notify"),
    Word("function", "set_aside", "detach", "sdk"),
    Word("function", "settle", "freeze_gc", "sdk/application_sdk/engines/kubernetes"),
    Word("function", "strike", "inject_fault"),
    Word("function", "tell", "notify"),
    Word("function", "told", "format"),
    Word("function", "undisturbed", "is_first_healthy_attempt"),
    Word("function", "wind_up", "end_run"),
    Word("function", "wish", "request"),
    Word("function", "work_off", "run_loop"),
    Word("phrase", "anew", "again"),
    Word("phrase", "belongs into", "belongs in"),
    Word("phrase", "by what you see", "by symptom"),
    Word("phrase", "for ever", "forever"),
    Word("phrase", "goes on with", "continues with"),
    Word("phrase", "in succession", "in a row"),
    Word("phrase", "is nobody's", "is used by nothing"),
    Word("phrase", "looked at anew", "checked again"),
    Word("phrase", "told of", "reported"),
    Word("phrase", "under way there", "running there"),
)

EXCEPTIONS: Final[Mapping[str, str]] = {}
"""Files, and folders with all below them, that still have old words, and why. One that needs its exception no more is
refused: the list only gets shorter."""


@dataclass(frozen=True)
class OldWord:
    """One use of an old word."""

    file: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word!r} is an old word: use {self.instead!r}, or see docs/glossary.md"


def in_code(file: str, source: str) -> Iterator[OldWord]:
    """The old words among the names of a module, of its classes and of its functions."""
    words = {(word.kind, word.old): word for word in WORDS if file.startswith(word.where)}
    for kind, line, name in _names(file, source):
        word = words.get((kind, name.lstrip("_")))
        if word is not None:
            yield OldWord(file, line, word.old, word.new)


def in_prose(file: str, text: str) -> Iterator[OldWord]:
    """The translations in a page. A phrase may be broken over two lines."""
    for word in WORDS:
        if word.kind != "phrase" or not file.startswith(word.where):
            continue
        pattern = r"\b" + r"\s+".join(map(re.escape, word.old.split())) + r"\b"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield OldWord(file, text.count("\n", 0, match.start()) + 1, word.old, word.new)


def old_words(root: Path) -> Iterator[OldWord]:
    """All old words below a folder that is laid out as this project."""
    for file in _files(root, CODE, "*.py"):
        yield from in_code(str(file.relative_to(root)), file.read_text("utf-8"))
    for file in _files(root, PROSE, "*.md"):
        yield from in_prose(str(file.relative_to(root)), file.read_text("utf-8"))


def problems(words: Iterable[OldWord], exceptions: Mapping[str, str]) -> list[str]:
    """What is to be corrected: old words without an exception, and exceptions without an old word."""
    old = list(words)
    lines = [str(word) for word in old if not word.file.startswith(tuple(exceptions))]
    return lines + [
        f"{path}: its exception in hack/words.py isn't needed any more: remove it"
        for path in exceptions
        if not any(word.file.startswith(path) for word in old)
    ]


def _names(file: str, source: str) -> Iterator[tuple[Kind, int, str]]:
    path = Path(file)
    yield "module", 1, path.parent.name if path.stem == "__init__" else path.stem
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            yield "class", node.lineno, node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.lineno, node.name


def _files(root: Path, parts: Iterable[str], pattern: str) -> Iterator[Path]:
    for part in parts:
        path = root / part
        if path.is_dir():
            yield from sorted(path.rglob(pattern))
        elif path.is_file():
            yield path


def main() -> int:
    """Print the problems. Returns the exit code."""
    lines = problems(old_words(ROOT), EXCEPTIONS)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(bool(lines))


if __name__ == "__main__":
    raise SystemExit(main())
