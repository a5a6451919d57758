"""The API server's JSON, decoded within bounds: what one object holds never hides another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from apprun_operator.kube.decode import (
    CUT,
    LONG,
    MAX_DEPTH,
    TOKENS_AT_A_TIME,
    Page,
    decode,
    decode_async,
    decode_event,
    depth,
    problem_of,
)
from apprun_operator.kube.errors import DecodeError


def nested(levels: int, inner: str = "1") -> str:
    return '{"a":' * levels + inner + "}" * levels


def an_object(name: str = "good", spec: str = "{}", status: str = '{"phase":"Active"}', fields: str = "{}") -> str:
    metadata = f'{{"managedFields":[{{"fieldsV1":{fields}}}],"name":"{name}","resourceVersion":"5","uid":"u-{name}"}}'
    return (
        f'{{"apiVersion":"apprun.dev/v1alpha1","kind":"AppTask","metadata":{metadata},"spec":{spec},"status":{status}}}'
    )


def a_page(*objects: str) -> bytes:
    listed = ",".join(objects)
    details = '{"continue":"t","resourceVersion":"9"}'
    return f'{{"apiVersion":"v1","items":[{listed}],"kind":"L","metadata":{details}}}'.encode()


def objects(page: Page) -> list[Any]:
    async def scenario() -> list[Any]:
        return [item async for _, item in page]

    return asyncio.run(scenario())


def names(page: Page) -> list[str]:
    return [item["metadata"]["name"] for item in objects(page)]


def test_ordinary_objects_are_as_json_has_them() -> None:
    text = an_object(spec='{"input":{"text":"}{]\\"[","n":[1,2.5,null,true]}}')
    assert decode(text.encode()) == json.loads(text)


@pytest.mark.parametrize("levels", [1_200, 9_000])
def test_a_field_that_is_too_deep_is_cut_and_named(levels: int) -> None:
    found = decode(an_object(status=f'{{"heartbeat":{nested(levels)},"phase":"Active"}}').encode())
    assert problem_of(found) == f"status.heartbeat is nested deeper than {MAX_DEPTH} levels"
    assert found["status"] == {"heartbeat": None, "phase": "Active"}
    assert found["metadata"] == decode(an_object().encode())["metadata"]


def test_several_fields_are_named() -> None:
    found = decode(
        an_object(spec=f'{{"input":{nested(2000)}}}', status=f'{{"output":{"[" * 2000}{"]" * 2000}}}').encode()
    )
    assert problem_of(found).startswith("spec.input, status.output is nested")


def test_deep_managed_fields_are_no_problem() -> None:
    found = decode(an_object(fields=nested(1200)).encode())
    assert CUT not in found
    assert found["metadata"]["name"] == "good"  # type: ignore[call-overload,index]


def test_the_bound_is_exact() -> None:
    # The object and its spec are two levels.
    assert not problem_of(decode(an_object(spec=f'{{"input":{nested(MAX_DEPTH - 2)}}}').encode()))
    assert problem_of(decode(an_object(spec=f'{{"input":{nested(MAX_DEPTH - 1)}}}').encode()))


def test_brackets_in_texts_are_no_levels() -> None:
    assert depth(json.dumps({"a": "[{" * 500, "b\\": ['"[', "\\"]})) == 2


def test_an_event_has_its_objects_problem() -> None:
    item = an_object(status=f'{{"heartbeat":{nested(1200)}}}', fields=nested(1200))
    event = decode_event(f'{{"type":"MODIFIED","object":{item}}}'.encode())
    assert event["type"] == "MODIFIED"
    assert problem_of(event["object"]).startswith("status.heartbeat")  # type: ignore[arg-type]


def test_one_deep_object_of_a_list_leaves_the_others_alone() -> None:
    deep = an_object("deep", status=f'{{"heartbeat":{nested(5000)}}}')
    page = Page(a_page(an_object("first"), deep, an_object("last")))
    assert names(page) == ["first", "deep", "last"]
    assert page.details == {"continue": "t", "resourceVersion": "9"}


def test_a_list_may_tell_its_version_first_and_may_be_empty() -> None:
    page = Page(b'{ "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [] }')
    assert (names(page), page.details) == ([], {"resourceVersion": "7"})
    assert names(Page(b'{"items":null,"metadata":{}}')) == []


@pytest.mark.parametrize("body", [b"<html>", b'{"items":[{"a":1}', b'{"items":[1]}', b"[]", b'{"items":[{"a":'])
def test_what_is_no_list_is_told_so(body: bytes) -> None:
    with pytest.raises(DecodeError):
        objects(Page(body))


@pytest.mark.parametrize("body", [b"<html>", b"7", b'{"a":', b""])
def test_what_is_no_object_is_told_so(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(body)


# Depth, measured at once, is what a decoder finds


def levels(value: object) -> int:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if found is None else 1 + max(map(levels, found), default=0)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [{}]},
        [[{}], [[]], {"a": {}}],
        [[], [[[[]]]], {}],
        [{}] * 1000 + [[[{"a": []}]]],
        {"]": '"', "{": "[", "\\": "[\\", '"': ["\\\\", '\\"[', "[[", "", "[", "]"]},
        ["", "", [], "", {"": ""}, '"', "{}"],
        ["\u00fc[", {"\ud83d\ude00": ["{"]}],
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_the_measured_depth_is_that_of_the_value(value: object, escaped: bool) -> None:
    assert depth(json.dumps(value, ensure_ascii=escaped)) == levels(value)


# Long texts leave the event loop to others


def turns_of_others(work: Callable[[], Awaitable[object]]) -> int:
    """How often others have their turn while that is done."""

    async def scenario() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        waiting = asyncio.create_task(others())
        await asyncio.sleep(0)
        await work()
        waiting.cancel()
        return turns

    return asyncio.run(scenario())


LONG_TEXT = an_object(spec=f'{{"input":{{"a":[{",".join(["{}"] * LONG)}]}}}}')
TOO_DEEP = an_object(status=f'{{"heartbeat":{nested(4 * TOKENS_AT_A_TIME)}}}')


def test_measuring_and_decoding_have_their_own_turns() -> None:
    assert turns_of_others(lambda: decode_async(LONG_TEXT.encode())) >= 2


def test_cutting_takes_a_turn_for_so_many_tokens() -> None:
    # Each level has two brackets and a name.
    assert turns_of_others(lambda: decode_async(TOO_DEEP.encode())) >= 12


@pytest.mark.parametrize(("text", "least"), [(LONG_TEXT, 2), (TOO_DEEP, 12)], ids=["long", "deep"])
def test_the_same_holds_for_an_object_of_a_list(text: str, least: int) -> None:
    async def work() -> None:
        assert [problem_of(item) == "" async for _, item in Page(a_page(text))] == [text is LONG_TEXT]

    assert turns_of_others(work) >= least


def test_short_texts_are_decoded_without_a_pause() -> None:
    assert turns_of_others(lambda: decode_async(an_object().encode())) == 0
    assert turns_of_others(lambda: one_page(a_page(*[an_object()] * 9))) == 0


async def one_page(body: bytes) -> None:
    assert [size async for size, _ in Page(body)] == [len(an_object())] * 9


def test_what_follows_a_deep_object_is_no_part_of_it() -> None:
    with pytest.raises(DecodeError):
        decode((an_object(status=f'{{"heartbeat":{nested(1200)}}}') + "}").encode())
