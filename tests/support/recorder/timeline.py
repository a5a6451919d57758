"""What a recording tells about standstills: who led, what was out of reach, what each open call waited for. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hack.restarts import clock
from tests.support.kube import Object
from tests.support.recorder.journal import Moment
from tests.support.recorder.states import ENDS, State

SHOWN_CAUSES = 8


@dataclass(frozen=True)
class Standstill:
    """Calls were open from `begin` to `end`, and none of them was committed."""

    begin: float
    end: float
    unanswered: float
    """Seconds of it in which the API server didn't answer the recorder."""

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def counted(self) -> float:
        """Without what the API server was away: nobody can commit then."""
        return self.seconds - self.unanswered


def standstills(moments: Sequence[Moment]) -> list[Standstill]:
    """All of them, however short, in their order. A run that is suspended or stalled holds nothing up."""
    result: list[Standstill] = []
    begin: float | None = None
    unanswered, last = 0.0, None
    before: object = None
    for moment in moments:
        progress = _progress(moment.state)
        moves = progress != before or not _open(moment.state)
        if begin is not None and last is not None and not _answers(moment.state):
            unanswered += moment.at - last
        if moves:
            if begin is not None:
                result.append(Standstill(begin, moment.at, min(unanswered, moment.at - begin)))
            begin, unanswered = (moment.at if _open(moment.state) else None), 0.0
        before, last = progress, moment.at
    if begin is not None and last is not None and last > begin:
        result.append(Standstill(begin, last, min(unanswered, last - begin)))
    return result


def only(moments: Sequence[Moment], namespace: str) -> list[Moment]:
    """Without the runs, calls and pods of other namespaces."""
    return [
        replace(moment, state={k: v for k, v in moment.state.items() if _is_of(namespace, k)}) for moment in moments
    ]


def _is_of(namespace: str, key: str) -> bool:
    plural, _, name = key.partition(" ")
    return plural not in ("run", "call", "pod") or name.startswith(f"{namespace}/")


def longest(moments: Sequence[Moment]) -> Standstill | None:
    """By what counts of it."""
    return max(standstills(moments), key=lambda standstill: standstill.counted, default=None)


def timeline(moments: Sequence[Moment], least: float) -> list[str]:
    """Each standstill of at least so many seconds, as a text of several lines."""
    return [
        "\n".join(describe(standstill, moments)) for standstill in standstills(moments) if standstill.seconds >= least
    ]


def describe(standstill: Standstill, moments: Sequence[Moment]) -> list[str]:
    """A head, then one line for each thing that may be its cause."""
    within = [moment for moment in moments if standstill.begin <= moment.at <= standstill.end]
    head = (
        f"nothing was committed from {clock(standstill.begin)} to {clock(standstill.end)} ({standstill.seconds:.0f} s)"
    )
    return [head + ":", *(f"  {line}" for line in _causes(standstill, within))]


def _causes(standstill: Standstill, within: Sequence[Moment]) -> Iterator[str]:
    yield f"leader: {_leaders(within)}"
    if standstill.unanswered:
        errors = Counter(m.state["api"].get("error", "") for m in within if not _answers(m.state))
        yield f"API server: no answer for {standstill.unanswered:.0f} s ({errors.most_common(1)[0][0]})"
    yield from _operators(within)
    yield from _nodes(within)
    notes = [f"{clock(moment.at)} {note}" for moment in within for note in moment.notes]
    if notes:
        yield f"noted: {'; '.join(notes[:SHOWN_CAUSES])}"
    still = [moment for moment in within if moment.at < standstill.end] or within
    yield from _waiting(still[-1].state if still else {})


def _leaders(within: Sequence[Moment]) -> str:
    leaders: list[str] = []
    for moment in within:
        lease = moment.state.get("lease", {})
        late = f", not renewed for {lease['renewed']} s" if lease.get("renewed") else ""
        text = f"{lease.get('holder') or 'nobody'} (term {lease.get('transitions', '?')})"
        if not leaders or leaders[-1].partition(",")[0] != text:
            leaders.append(text + late)
        elif late:
            leaders[-1] = text + late
    return ", then ".join(leaders) or "unknown"


def _operators(within: Sequence[Moment]) -> Iterator[str]:
    """The worst of each replica's figures, and what isn't as it should be."""
    silent: dict[str, dict[str, int]] = {}
    odd: dict[str, Counter[str]] = {}
    for moment in within:
        for name, state in _of("metrics", moment.state):
            ages = silent.setdefault(name, {})
            for kind, age in state.get("silent", {}).items():
                ages[kind] = max(age, ages.get(kind, 0))
            for text in (state.get("error"), f"loop {state['lag']} late" if "lag" in state else None):
                if text:
                    odd.setdefault(name, Counter())[text] += 1
        for name, state in _of("operator", moment.state):
            if not state.get("ready"):
                odd.setdefault(name, Counter())["not ready"] += 1
    for name in sorted({*silent, *odd}):
        ages = ", ".join(f"{kind} {age} s" for kind, age in sorted(silent.get(name, {}).items(), key=lambda i: -i[1]))
        parts = [f"watches silent for {ages}"] if ages else []
        parts += [
            f"{text} (in {count} of {len(within)} samples)" for text, count in odd.get(name, Counter()).most_common()
        ]
        if parts:
            yield f"operator {name}: {'; '.join(parts)}"


def _nodes(within: Sequence[Moment]) -> Iterator[str]:
    odd: dict[str, Counter[str]] = {}
    for moment in within:
        for name, state in _of("node", moment.state):
            causes = [] if state.get("ready") else [f"not ready: {state.get('reason', 'unknown')}"]
            causes += state.get("pressed", []) + (["unschedulable"] if state.get("unschedulable") else [])
            odd.setdefault(name, Counter()).update(causes)
    for name, causes in sorted(odd.items()):
        for cause, count in causes.items():
            yield f"node {name}: {cause} (in {count} of {len(within)} samples)"


def _waiting(state: State) -> Iterator[str]:
    """What runs, calls and pods say just before it ends, alike ones counted."""
    runs = Counter(_run(run) for _, run in _of("run", state) if _at_work(run))
    pods = dict(_of("pod", state))
    calls = Counter(_call(name, call, pods) for name, call in _of("call", state))
    for kind, counts in (("run", runs), ("call", calls)):
        for text, count in counts.most_common(SHOWN_CAUSES):
            yield f"{count} {kind}{'s' * (count > 1)}: {text}"
        if len(counts) > SHOWN_CAUSES:
            rest = sum(counts.values()) - sum(count for _, count in counts.most_common(SHOWN_CAUSES))
            yield f"{rest} {kind}s more, each with a cause of its own"


def _run(run: Object) -> str:
    counts = ", ".join(f"{run[key]} {key}" for key in ("active", "waiting", "queued") if run.get(key))
    parts = [run.get("phase", "no phase"), run.get("reason", ""), counts, run.get("message", "")]
    return "; ".join(part for part in parts if part)


def _call(name: str, call: Object, pods: dict[str, Object]) -> str:
    text = call.get("phase", "no phase") + (f" ({call['message']})" if call.get("message") else "")
    own = f"{name}-{call.get('attempt', 1)}"
    mine = [pod for pod_name, pod in pods.items() if pod_name == own or pod_name.startswith(f"{own}-")]
    return f"{text}; {_pod(mine[0])}" if mine else f"{text}; no pod"


def _pod(pod: Object) -> str:
    causes = [*pod.get("containers", []), *pod.get("unmet", []), *(f"gate {gate}" for gate in pod.get("gates", []))]
    ending = ", being deleted" if pod.get("leaving") else ""
    where = f"pod {pod.get('phase', 'new')} on {pod.get('node', 'no node')}{ending}"
    return f"{where}: {', '.join(causes)}" if causes else where


def _of(kind: str, state: State) -> Iterator[tuple[str, Object]]:
    for key, value in state.items():
        if key.startswith(f"{kind} "):
            yield key.removeprefix(f"{kind} "), value


def _answers(state: State) -> bool:
    return bool(state.get("api", {}).get("answers", True))


def _at_work(run: Object) -> bool:
    return run.get("phase") not in (*ENDS, "Stalled", "Suspended")


def _open(state: State) -> bool:
    return any(_at_work(run) for _, run in _of("run", state))


def _progress(state: State) -> frozenset[tuple[str, str, int, int]]:
    return frozenset(
        (name, "" if _at_work(run) else run.get("phase", ""), run.get("done", 0), run.get("failed", 0))
        for name, run in _of("run", state)
    )
