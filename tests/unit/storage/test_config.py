"""Which store a process uses, and what is said when it can't be told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from application_sdk.storage import StoreNotConfiguredError
from application_sdk.storage.config import StoreConfig, from_environment
from application_sdk.storage.folder import FolderStore
from application_sdk.storage.remote import RemoteStore, without_secrets

URL = "APPRUN_STORE_URL"
OPTIONS = "APPRUN_STORE_OPTIONS"


def test_options_come_from_the_environment_and_secrets_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret_access_key").write_text("hush\n")
    (tmp_path / "..data").mkdir()
    config = from_environment({URL: "s3://b", OPTIONS: json.dumps({"region": "eu"})}, tmp_path)
    assert config.options == {"region": "eu", "secret_access_key": "hush"}


def test_rotated_secret_counts_for_the_next_store(tmp_path: Path) -> None:
    for value in ("first", "second"):
        (tmp_path / "account_key").write_text(value)
        assert from_environment({URL: "az://c"}, tmp_path).options == {"account_key": value}


def test_empty_secret_is_told_with_the_keys_that_it_should_have(tmp_path: Path) -> None:
    with pytest.raises(StoreNotConfiguredError, match="keys such as access_key_id"):
        from_environment({URL: "s3://b"}, tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_unreadable_secret_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush")
    (tmp_path / "key").chmod(0)
    with pytest.raises(StoreNotConfiguredError, match="can't be read"):
        from_environment({URL: "s3://b"}, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '"x"'])
def test_options_that_are_no_object_of_text_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(StoreNotConfiguredError, match=OPTIONS):
        from_environment({URL: "s3://b", OPTIONS: text}, tmp_path / "none")


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "bucket", "http://bucket", "memory:///", "file://relative", "file:///a/../b"]
)
def test_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(StoreNotConfiguredError):
        StoreConfig(url, {}).open()


def test_each_url_opens_its_store(tmp_path: Path) -> None:
    assert isinstance(StoreConfig((tmp_path / "a b%20").as_uri(), {}).open(), FolderStore)
    assert StoreConfig((tmp_path / "a b%20").as_uri(), {}).open().name == f"file://{tmp_path}/a b%20"
    assert isinstance(StoreConfig("s3://bucket/prefix", {"region": "eu-central-1"}).open(), RemoteStore)
    assert isinstance(StoreConfig("gs://bucket/prefix", {"skip_signature": "true"}).open(), RemoteStore)
    assert isinstance(
        StoreConfig("az://container/prefix", {"account_name": "a", "account_key": "aGk="}).open(), RemoteStore
    )


def test_secrets_are_named_for_hiding_and_others_are_not() -> None:
    options = {"region": "eu-central-1", "secret_access_key": "s1", "endpoint": "https://x", "sas_key": "s2"}
    config = StoreConfig("s3://b", options, {"AWS_SESSION_TOKEN": "s3", "PATH": "/bin", "AWS_REGION": "eu"})
    assert set(config.secrets()) == {"s1", "s2", "s3"}


def test_name_of_a_store_has_no_secrets_in_it() -> None:
    assert without_secrets("s3://key:secret@bucket/p?sig=hush") == "s3://bucket/p"
    assert without_secrets("abfss://container@account.dfs.core.windows.net/p?sig=x") == (
        "abfss://container@account.dfs.core.windows.net/p"
    )
