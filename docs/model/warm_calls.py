"""A model of one call that is executed in warm pods: assign, tell, report, commit, reassign. Searched exhaustively.

The states are abstract: one call, two places for pods, an operator that knows the call as it is and
one that still believes to lead and knows it as it was, reports that arrive late or twice, pods that
die, are cut off and go on working, or are replaced under the same name. `search` visits every state
that can be reached, and returns what is wrong with one of them.

Each rule of the protocol has a name in `RULES`. Without it the search finds a violation, which is what shows that the
rule is needed and that the search can fail: `tests/unit/model/test_warm_calls.py`.

Run by hand: `python docs/model/warm_calls.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")

RULES: Final = frozenset(
    {
        "assign-precondition",  # a write of an assignment holds for the version of the call that it was decided on
        "report-is-assigned",  # admission compares name and uid of the reporting pod with the assignment
        "report-of-attempt",  # admission compares the report's attempt with the current one
        "finished-is-final",  # a call that has its result takes no other report, and is assigned to nobody
        "inbox-names-pod",  # a pod leaves an inbox alone that is for a namesake's uid
        "begin-once",  # a pod remembers the attempts that it has begun
        "tell-again",  # an inbox that differs from the assignments is written again
        "reassign-lost",  # the attempt of a pod that is gone is answered with the next one
        "reassign-silent",  # so is that of a pod that doesn't acknowledge
        "commit-once",  # a call that is in the ledger isn't committed again
    }
)

PLACES: Final = (0, 1)
MISHAPS: Final = 2
"""So many of these in one course of events: a pod dies, or is cut off; a call is taken from a pod that
is merely slow; an inbox is written by the operator that isn't up to date."""

Pod: TypeAlias = tuple[int, int]
"""Place (its name) and incarnation (its uid)."""


@dataclass(frozen=True, slots=True)
class Call:
    """The AppTask, as the API server has it: each change of it is another version."""

    attempt: int = 1
    pod: Pod | None = None
    result: tuple[Pod, int] | None = None
    """Who reported it, and of which attempt."""


@dataclass(frozen=True, slots=True)
class World:
    """One state. Tuples are indexed by place, or by operator."""

    call: Call = Call()
    known: Call = Call()
    """What the operator believes of the call that isn't up to date."""
    inboxes: tuple[tuple[Pod, int] | None, ...] = (None, None)
    """Whom each inbox is for, and the attempt in it."""
    incarnation: tuple[int, ...] = (0, 0)
    alive: tuple[bool, ...] = (True, True)
    """Whether the pod of the place that the operator knows is there."""
    zombies: frozenset[Pod] = frozenset()
    """Pods that are lost to the cluster, and work on."""
    begun: frozenset[tuple[Pod, int]] = frozenset()
    working: frozenset[tuple[Pod, int]] = frozenset()
    reports: frozenset[tuple[Pod, int]] = frozenset()
    """Sent by pods. They may arrive late, and again."""
    commits: int = 0
    mishaps: int = 0
    broken: str = ""
    """The invariant that the last step broke."""


def steps(world: World, rules: frozenset[str]) -> Iterator[tuple[str, World]]:
    """Every step that somebody may take next, by name. Behind a commit, only a second one could still be wrong."""
    if world.commits:
        if "commit-once" not in rules:
            yield "commit", replace(world, commits=2, broken="committed twice")
        return
    yield from _operators(world, rules)
    yield from _pods(world, rules)
    yield from _reports(world, rules)
    yield from _faults(world)


def _operators(world: World, rules: frozenset[str]) -> Iterator[tuple[str, World]]:
    call = world.call
    if world.known != call:
        yield "the late operator hears", replace(world, known=call)
    for known in {call, world.known}:
        # A write that rests on another version than the present one is refused.
        if "assign-precondition" in rules and known != call:
            continue
        if known.result is not None and "finished-is-final" in rules:
            continue
        if known.pod is None:
            for place in PLACES:
                if world.alive[place]:
                    pod = (place, world.incarnation[place])
                    yield f"the call is assigned to {pod}", _write(world, replace(known, pod=pod))
        elif _is_lost(world, known.pod):
            if "reassign-lost" in rules:
                yield "a lost pod is answered", _write(world, _next(known))
        elif "reassign-silent" in rules and (world.mishaps < MISHAPS or _is_deaf(world, known)):
            mishaps = world.mishaps + (0 if _is_deaf(world, known) else 1)
            yield "a silent pod is passed over", _write(replace(world, mishaps=mishaps), _next(known))
    for place in PLACES:
        # Whoever finds an inbox different writes it again; with an old belief that may be a wrong one, for a while.
        for known in {call, world.known}:
            inbox = _inbox_of(known, place, rules)
            first = world.inboxes[place] is None
            late = inbox != _inbox_of(call, place, rules)
            if late and world.mishaps >= MISHAPS:
                continue
            if inbox != world.inboxes[place] and ("tell-again" in rules or first):
                told = replace(world, mishaps=world.mishaps + late)
                yield f"inbox {place} is written", replace(told, inboxes=_at(world.inboxes, place, inbox))
    if call.result is not None:
        yield "commit", replace(world, commits=1)


def _pods(world: World, rules: frozenset[str]) -> Iterator[tuple[str, World]]:
    for place in PLACES:
        here = [(place, world.incarnation[place])] if world.alive[place] else []
        inbox = world.inboxes[place]
        for pod in [*here, *(zombie for zombie in world.zombies if zombie[0] == place)]:
            if inbox is not None and (inbox[0] == pod or "inbox-names-pod" not in rules):
                work = (pod, inbox[1])
                again = work in world.begun
                if work not in world.working and not (again and "begin-once" in rules):
                    broken = "an attempt was begun twice by its pod" if again else ""
                    yield (
                        f"{pod} begins attempt {inbox[1]}",
                        replace(world, begun=world.begun | {work}, working=world.working | {work}, broken=broken),
                    )
        for work in world.working:
            if work[0][0] == place:
                yield (
                    f"{work[0]} ends attempt {work[1]}",
                    replace(world, working=world.working - {work}, reports=world.reports | {work}),
                )
                if inbox is None or inbox[1] != work[1]:
                    yield f"{work[0]} is asked to stop", replace(world, working=world.working - {work})


def _reports(world: World, rules: frozenset[str]) -> Iterator[tuple[str, World]]:
    call = world.call
    for report in world.reports:
        pod, attempt = report
        allowed = (
            (pod == call.pod or "report-is-assigned" not in rules)
            and (attempt == call.attempt or "report-of-attempt" not in rules)
            and (call.result is None or "finished-is-final" not in rules)
        )
        if not allowed or call.result == report:
            continue
        broken = ""
        if call.result is not None:
            broken = "a second result was recorded"
        elif report != (call.pod, call.attempt):
            broken = "the result of a replaced assignment counts"
        yield f"report of {pod} on attempt {attempt}", replace(world, call=replace(call, result=report), broken=broken)


def _faults(world: World) -> Iterator[tuple[str, World]]:
    for place in PLACES:
        pod = (place, world.incarnation[place])
        if world.alive[place] and world.mishaps < MISHAPS:
            lost = replace(world, alive=_at(world.alive, place, False), mishaps=world.mishaps + 1)
            working = frozenset(work for work in world.working if work[0] != pod)
            begun = frozenset(work for work in world.begun if work[0] != pod)
            yield f"{pod} dies", replace(lost, working=working, begun=begun)
            yield f"{pod} is cut off", replace(lost, zombies=world.zombies | {pod})
        elif not world.alive[place]:
            grown = _at(world.incarnation, place, world.incarnation[place] + 1)
            yield (
                f"place {place} is given a new pod",
                replace(world, incarnation=grown, alive=_at(world.alive, place, True)),
            )


def _write(world: World, call: Call) -> World:
    broken = ""
    if world.call.result is not None and call.result != world.call.result:
        broken = "a result was lost"
    elif call.attempt < world.call.attempt or (
        call.attempt == world.call.attempt and world.call.pod is not None and call.pod != world.call.pod
    ):
        broken = "one attempt was assigned to two pods"
    return replace(world, call=call, broken=broken)


def _next(call: Call) -> Call:
    return replace(call, attempt=call.attempt + 1, pod=None)


def _inbox_of(call: Call, place: int, rules: frozenset[str]) -> tuple[Pod, int] | None:
    if call.result is not None and "finished-is-final" in rules:
        return None
    return (call.pod, call.attempt) if call.pod is not None and call.pod[0] == place else None


def _is_lost(world: World, pod: Pod) -> bool:
    return pod != (pod[0], world.incarnation[pod[0]]) or not world.alive[pod[0]]


def _is_deaf(world: World, call: Call) -> bool:
    """Whether the pod has begun the call and given it up, because an inbox was wrong for a while."""
    work = (call.pod, call.attempt)
    return work in world.begun and work not in world.working and work not in world.reports


def _at(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to."""

    states: int
    problem: str = ""
    path: tuple[str, ...] = ()
    """The steps that lead to it."""


def search(rules: frozenset[str] = RULES, most: int = 2_000_000) -> Found:
    """Visit every state that can be reached from the first one.

    Args:
        rules: The rules that hold; without some of them a violation is to be found.
        most: States after which the search gives up with an error.

    Returns:
        How many states there are, and the shortest way to a violation. A state from which no commit can be reached, by
        whatever happens, counts as one: the call is stuck.
    """
    start = World()
    before: dict[World, tuple[World, str] | None] = {start: None}
    sources: dict[World, list[World]] = {start: []}
    queue = deque([start])
    while queue:
        world = queue.popleft()
        for name, after in steps(world, rules):
            if after not in before:
                before[after] = (world, name)
                sources[after] = []
                if after.broken:
                    return Found(len(before), after.broken, _path(before, after))
                if len(before) > most:
                    raise RuntimeError(f"more than {most} states: the model has grown out of bounds")
                queue.append(after)
            sources[after].append(world)
    ending = deque(world for world in before if world.commits)
    alive = set(ending)
    while ending:
        for source in sources[ending.popleft()]:
            if source not in alive:
                alive.add(source)
                ending.append(source)
    stuck = next((world for world in before if world not in alive), None)
    if stuck is not None:
        return Found(len(before), "the call is stuck", _path(before, stuck))
    return Found(len(before))


def _path(before: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    path: list[str] = []
    link = before[world]
    while link is not None:
        world, name = link
        path.append(name)
        link = before[world]
    return tuple(reversed(path))


if __name__ == "__main__":
    found = search()
    print(f"{found.states} states: {found.problem or 'every call ends once'}", *found.path, sep="\n")
