"""Every pod's /tmp has the installation's limit, and who exceeds it is told which one that was."""

from __future__ import annotations

import pytest

from apprun_operator.plan.call.pod_status import OVER_LIMIT_OF_TMP
from apprun_operator.plan.limits import Limits
from apprun_operator.plan.pod import pod_template
from apprun_operator.settings import SettingsError, from_environment

BASE = {"APPRUN_RUNTIME_IMAGE": "python"}


def tmp_of(limit: str) -> object:
    volumes, _ = pod_template.volumes({}, limit, source_optional=True)
    return next(volume for volume in volumes if isinstance(volume, dict) and volume["name"] == "tmp")


def test_tmp_has_the_limit() -> None:
    assert tmp_of("5Gi") == {"name": "tmp", "emptyDir": {"sizeLimit": "5Gi"}}
    assert tmp_of("") == {"name": "tmp", "emptyDir": {}}


def test_limit_comes_from_the_environment() -> None:
    assert from_environment(BASE).limits.tmp_size_limit == Limits("python").tmp_size_limit == "10Gi"
    assert from_environment({**BASE, "APPRUN_TMP_SIZE_LIMIT": "500Mi"}).limits.tmp_size_limit == "500Mi"
    assert from_environment({**BASE, "APPRUN_TMP_SIZE_LIMIT": ""}).limits.tmp_size_limit == ""


@pytest.mark.parametrize("text", ["10 Gi", "-1", "0", "much", "1e3", "10GiB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="APPRUN_TMP_SIZE_LIMIT"):
        from_environment({**BASE, "APPRUN_TMP_SIZE_LIMIT": text})


def test_kubelets_words_name_the_volume() -> None:
    assert OVER_LIMIT_OF_TMP.search('Usage of EmptyDir volume "tmp" exceeds the limit "10Gi". ')
    assert not OVER_LIMIT_OF_TMP.search("Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.")
