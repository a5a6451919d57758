"""Keys of calls: a wire format. What is pinned here may only change together with REPLAY_RULES."""

from __future__ import annotations

import contextvars

from application_sdk.replay.identity import Identities, consumed, lineage, rules_of
from application_sdk.wire.digest import digest
from application_sdk.wire.fields import KNOWN_REPLAY_RULES, REPLAY_RULES

INPUT = digest({"name": "Ada"})


def test_the_key_of_a_first_call_is_this() -> None:
    identities = Identities("run", 1)
    identity = identities.next("fetch", INPUT)
    assert identity == {"inputDigest": INPUT, "lineage": "", "occurrence": 0}
    assert identities.key("fetch", identity) == "272dd8c2edf8ff792d64836199db46d4"


def test_the_key_of_a_named_call_is_this() -> None:
    identities = Identities("run", 1)
    identity = identities.next("fetch", INPUT, keyed_by="orders-42")
    assert identities.key("fetch", identity) == "1d39954f046b2d8e538f564157d99d2c"


def test_a_key_is_the_digest_of_its_parts_whatever_their_names() -> None:
    for entrypoint, task in (("run", "fetch"), ('in"ner', "größe\\"), ("\u2028", "\ud800")):
        identities = Identities(entrypoint)
        identity = identities.next(task, INPUT)
        assert identities.key(task, identity) == digest([REPLAY_RULES, entrypoint, task, INPUT, "", 0])


def test_equal_calls_of_a_branch_differ_by_occurrence() -> None:
    identities = Identities("run")
    first, second = identities.next("fetch", INPUT), identities.next("fetch", INPUT)
    assert (first["occurrence"], second["occurrence"]) == (0, 1)
    assert identities.key("fetch", first) != identities.key("fetch", second)


def test_every_part_counts() -> None:
    identities = Identities("run")
    keys = {identities.key("fetch", identities.next("fetch", INPUT))}
    keys.add(Identities("other").key("fetch", Identities("other").next("fetch", INPUT)))
    keys.add(identities.key("store", identities.next("store", INPUT)))
    keys.add(identities.key("fetch", identities.next("fetch", digest({}))))

    def after_another() -> str:
        lineage.set(consumed("store", INPUT))
        return identities.key("fetch", identities.next("fetch", INPUT))

    keys.add(contextvars.copy_context().run(after_another))
    assert len(keys) == 5


def test_a_given_key_makes_input_and_place_irrelevant() -> None:
    identities = Identities("run")
    first = identities.key("fetch", identities.next("fetch", INPUT, "it"))
    second = identities.key("fetch", identities.next("fetch", digest({}), "it"))
    assert first == second


def test_a_key_tells_the_rules_that_it_was_made_under() -> None:
    for rules in KNOWN_REPLAY_RULES:
        identities = Identities("run", rules)
        for keyed_by in (None, "orders-42"):
            identity = identities.next("fetch", INPUT, keyed_by)
            assert rules_of(identities.key("fetch", identity), "run", "fetch", identity) == rules
    assert rules_of("0" * 32, "run", "fetch", identity) is None
