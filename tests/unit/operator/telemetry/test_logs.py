"""The operator's lines have the words that pods use."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tests.support import virtual_time
from tests.support.world import World, living

from apprun_operator.kube.errors import InvalidError
from apprun_operator.observe.records import Key
from apprun_operator.telemetry.logs import JsonFormatter, log_context


def test_a_line_about_a_run_names_it_in_fields() -> None:
    record = logging.makeLogRecord({"name": "apprun_operator.reconcile.run_worker", "msg": "x", "levelname": "INFO"})
    vars(record).update(log_context(Key("shop", "daily"), "daily-0123"))
    line = json.loads(JsonFormatter().format(record))
    assert (line["source"], line["namespace"], line["run"], line["appTask"]) == (
        "apprun", "shop", "daily", "daily-0123",
    )  # fmt: skip


def test_trouble_with_a_run_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(moment: str, call: str) -> None:
        if moment == "before" and "PATCH appruns" in call:
            raise InvalidError("never")

    async def scenario() -> None:
        async with living(World([["a"]])) as world:
            world.start_operator(broken)
            world.apply_run("daily")
            await asyncio.sleep(3)

    virtual_time.run(scenario())
    record = next(record for record in caplog.records if "never" in record.getMessage())
    assert vars(record)["run"] == "daily"
    assert vars(record)["namespace"] == "default"
