"""A wrong setting says which variable it is, what it is set to, and what to set it to."""

from __future__ import annotations

import pytest

from apprun_operator.settings import SettingsError, from_environment

IMAGE = {"APPRUN_RUNTIME_IMAGE": "runtime:1"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"APPRUN_PORT": "http"}, "APPRUN_PORT is 'http': set it to a whole number of at least 0"),
        ({"APPRUN_WORKERS": "0"}, "APPRUN_WORKERS is '0': set it to a whole number of at least 1"),
        ({"APPRUN_LOG_FORMAT": "xml"}, "APPRUN_LOG_FORMAT is 'xml': set it to one of text, json"),
        ({"APPRUN_SERVICE_ACCOUNT": "one"}, "APPRUN_SERVICE_ACCOUNT is 'one': set it to <namespace>/<name>"),
        (
            {"APPRUN_TMP_SIZE_LIMIT": "much"},
            "APPRUN_TMP_SIZE_LIMIT is 'much': set it to an amount of bytes such as 10Gi",
        ),
        ({"APPRUN_RUNTIME_IMAGE": ""}, "APPRUN_RUNTIME_IMAGE is not set: set it to the image"),
        (
            {"APPRUN_LEASE": "system/apprun"},
            "APPRUN_POD_NAME is not set, but APPRUN_LEASE is: set it to the pod's name",
        ),
    ],
)
def test_wrong_setting_says_where_and_what_to_do(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        from_environment({**IMAGE, **environment})
    assert str(raised.value).startswith(f"environment variable {message}")
