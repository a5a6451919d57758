"""How long a driver repeats a read before it ends, and says why: for ever, unless the API server means this pod."""

from __future__ import annotations

import pytest
from tests.support.wire_server import WireServer, answer, refuse

from application_sdk.engines.kubernetes.api import Api
from application_sdk.engines.kubernetes.errors import ApiError
from application_sdk.engines.kubernetes.retry_request import retry_request

RUN = "daily"


@pytest.mark.parametrize(("code", "reason", "seconds"), [(403, "Forbidden", 60), (401, "Unauthorized", 30)])
def test_reading_that_is_refused_for_long_is_given_up(
    api: Api, server: WireServer, code: int, reason: str, seconds: float
) -> None:
    server.always = refuse(code, reason, "you may not")
    pauses: list[float] = []
    with pytest.raises(ApiError, match="you may not"):
        retry_request(lambda: api.get("appruns", RUN), "reading", pauses.append)
    assert seconds - 6 < sum(pauses) <= seconds


def test_reading_that_is_refused_now_and_then_goes_on(api: Api, server: WireServer) -> None:
    server.script += [refuse(403, "Forbidden", "you may not"), refuse(503, "ServiceUnavailable", "starting")] * 30
    server.script.append(answer(body={"metadata": {"name": RUN}}))
    assert retry_request(lambda: api.get("appruns", RUN), "reading", lambda seconds: None)


def test_api_server_that_is_away_is_waited_for(api: Api, server: WireServer) -> None:
    server.script += [refuse(503, "ServiceUnavailable", "starting")] * 60
    server.script.append(answer(body={"metadata": {"name": RUN}}))
    assert retry_request(lambda: api.get("appruns", RUN), "reading", lambda seconds: None)
