"""A route's clock and chance are the run's wherever the reference to them was taken, in libraries and contracts too."""

from __future__ import annotations

import datetime as dt
import random
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field
from tests.support.routes import Bench

from application_sdk.app import App, task
from application_sdk.contracts import Input, Output, PayloadSafetyError
from application_sdk.testing import check_durability

START = 1_767_225_600.0
TICK = "2026-01-01 00:00:02"


class Nothing(Input):
    pass


class Text(Output):
    text: str = ""


def answers(ask: Callable[[], object], uid: str = "u1") -> str:
    """What a route is told before and after a task of two seconds."""

    class Asking(App):
        @task
        async def wait(self, input: Nothing) -> Text:
            return Text()

        async def run(self, input: Nothing) -> Text:
            first = ask()
            await self.wait(input)
            return Text(text=f"{first} then {ask()}")

    result = Bench(Asking, Nothing(), duration_of=lambda call, attempt: 2.0).run()
    assert result.output is not None, result
    return str(result.output["text"])


stamp = datetime.now
draw = random.random


def default_argument(clock: Callable[[], float] = time.time) -> float:
    return clock() - START


def keyword_default(*, clock: Callable[[], float] = time.monotonic) -> float:
    return clock()


def closure() -> Callable[[], float]:
    clock = time.time
    return lambda: clock() - START


class Limiter:
    clock = time.time
    now = staticmethod(datetime.now)
    make = partial(datetime.now, UTC)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.chosen = clock


class Event(Input):
    at: datetime = Field(default_factory=datetime.now)
    zoned: datetime = Field(default_factory=partial(datetime.now, UTC))
    annotated: Annotated[float, Field(default_factory=time.time)]


in_closure = closure()

CLOCKS: dict[str, tuple[Callable[[], object], str]] = {
    "default argument": (default_argument, "0.0 then 2.0"),
    "keyword default": (keyword_default, "0.0 then 2.0"),
    "closure": (in_closure, "0.0 then 2.0"),
    "class attribute": (lambda: Limiter.clock() - START, "0.0 then 2.0"),
    "class attribute of an instance": (lambda: Limiter().clock() - START, "0.0 then 2.0"),
    "default of a constructor": (lambda: Limiter().chosen() - START, "0.0 then 2.0"),
    "static method": (lambda: Limiter.now(UTC).timestamp() - START, "0.0 then 2.0"),
    "partial": (lambda: Limiter.make().timestamp() - START, "0.0 then 2.0"),
    "alias of a method": (lambda: stamp(UTC).timestamp() - START, "0.0 then 2.0"),
    "default factory": (lambda: Event().at.timestamp() - START, "0.0 then 2.0"),
    "partial as a factory": (lambda: Event().zoned.timestamp() - START, "0.0 then 2.0"),
    "factory in an annotation": (lambda: Event().annotated - START, "0.0 then 2.0"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("ask", "told"), CLOCKS.values(), ids=CLOCKS.keys())
def test_a_reference_taken_anywhere_is_the_routes_clock(ask: Callable[[], object], told: str) -> None:
    assert answers(ask) == told


class Drawn(Input):
    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    part: float = Field(default_factory=random.random)


class Dice:
    roll = random.random
    pick = staticmethod(random.choice)


def drawn_by_default(chance: Callable[[], float] = random.random) -> float:
    return chance()


def uuid_by_default(make: Callable[[], uuid.UUID] = uuid.uuid4) -> uuid.UUID:
    return make()


CHANCE: dict[str, Callable[[], object]] = {
    "uuid4 as a factory": lambda: Drawn().id,
    "random as a factory": lambda: Drawn().part,
    "class attribute": lambda: Dice().roll(),
    "static method": lambda: Dice.pick(range(10**9)),
    "default argument": drawn_by_default,
    "uuid4 as a default": uuid_by_default,
    "alias": lambda: draw(),
}


@pytest.mark.slow
@pytest.mark.parametrize("ask", CHANCE.values(), ids=CHANCE.keys())
def test_chance_taken_anywhere_is_repeated(ask: Callable[[], object]) -> None:
    first = answers(ask)
    assert first == answers(ask)
    before, _, after = first.partition(" then ")
    assert before != after


def test_outside_a_route_they_are_the_real_thing() -> None:
    answers(default_argument)
    assert abs(Event().annotated - time.time()) < 60
    assert Drawn().id != Drawn().id
    assert type(vars(Limiter)["clock"]) is type(time.time)
    assert default_argument.__defaults__ == (time.time,)
    assert repr(Event.model_fields["at"].default_factory) == "datetime.now"


LIBRARY = """
import random
from datetime import datetime
from time import time
from uuid import uuid4

TABLE = {datetime: "by type"}

def stamp():
    return datetime.now().timestamp()

def unix(clock=time):
    return clock()

def name():
    return f"{random.random()} {uuid4()}"

def kind():
    return TABLE[type(datetime(2026, 1, 1))], TABLE[datetime], isinstance(datetime(2026, 1, 1), datetime)
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "installed_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(folder))
    import installed_library  # type: ignore[import-not-found]

    yield installed_library
    del sys.modules["installed_library"]


def test_an_installed_library_gets_the_routes_clock(library: object) -> None:
    stamp, unix = library.stamp, library.unix  # type: ignore[attr-defined]
    assert answers(lambda: stamp() - START) == "0.0 then 2.0"
    assert answers(lambda: unix() - START) == "0.0 then 2.0"
    name = library.name  # type: ignore[attr-defined]
    assert answers(name) == answers(name)


def test_tables_by_type_serve_a_library_in_the_route(library: object) -> None:
    kind = library.kind  # type: ignore[attr-defined]
    assert answers(kind).startswith("('by type', 'by type', True)")


def test_a_nested_model_of_another_package_is_refused() -> None:
    class Nested(BaseModel):
        at: datetime = Field(default_factory=datetime.now)

    with pytest.raises(PayloadSafetyError, match=r"default_factory=datetime.now gives the route another value in each"):

        class Holding(Input):
            nested: Nested | None = None


def test_defaults_of_local_classes_are_the_routes() -> None:
    class Local(App):
        clock = staticmethod(dt.datetime.now)

        @task
        async def wait(self, input: Event) -> Text:
            return Text()

        async def run(self, input: Nothing) -> Text:
            await self.wait(Event())
            await self.wait(Event(annotated=time.time()))
            return Text(text=str(self.clock(UTC)))

    assert check_durability(Local, Nothing(), orders=2).complete
