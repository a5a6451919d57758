"""Where files lie in a store, and who may read them there."""

from __future__ import annotations

import pytest

from application_sdk.contracts import StorageTier
from application_sdk.storage import UnsafeReferenceError
from application_sdk.storage.keys import (
    Scope,
    check_readable,
    check_writable,
    checked_key,
    digest_in,
    object_name,
)

OURS = Scope("ns", "app", "uid-2", "chain")
SHA = "ab" * 32


@pytest.mark.parametrize(
    "key", ["", "/", "..", "a/../b", "a/./b", "a//b", "../../etc/passwd", "a\x00b", "a\nb", "x" * 1025]
)
def test_key_that_leads_out_of_the_store_is_refused(key: str) -> None:
    with pytest.raises(UnsafeReferenceError):
        checked_key(key)


def test_plain_key_is_itself() -> None:
    assert checked_key("/reports/2024 é/a#b.csv/") == "reports/2024 é/a#b.csv"


def test_run_may_read_its_own_files_and_those_of_its_chain() -> None:
    for scope in (OURS, OURS._replace(run_uid="uid-1")):
        for tier in StorageTier:
            check_readable(f"{scope.prefix(tier)}{SHA}", OURS)


def test_transient_file_of_another_run_is_private() -> None:
    other = Scope("ns", "app", "uid-9", "other-chain")
    with pytest.raises(UnsafeReferenceError, match="transient file of another run"):
        check_readable(f"{other.prefix(StorageTier.TRANSIENT)}{SHA}", OURS)


def test_retained_file_of_another_run_may_be_handed_on() -> None:
    other = Scope("ns", "app", "uid-9", "other-chain")
    check_readable(f"{other.prefix(StorageTier.RETAINED)}{SHA}", OURS)


@pytest.mark.parametrize("tier", list(StorageTier))
def test_no_file_of_another_namespace_can_be_read(tier: StorageTier) -> None:
    with pytest.raises(UnsafeReferenceError, match="belongs to namespace 'theirs'"):
        check_readable(f"{OURS._replace(namespace='theirs').prefix(tier)}{SHA}", OURS)


@pytest.mark.parametrize("key", ["transient/ns/chain/uid-2/x", "retained/x", "persistent", "transient"])
def test_app_cannot_choose_a_key_among_those_of_the_tiers(key: str) -> None:
    with pytest.raises(UnsafeReferenceError, match="is where files are kept by their tier"):
        check_writable(key)


@pytest.mark.parametrize("name", ["../..", "a/b", ".", "", "ü", "x" * 100])
def test_odd_names_of_runs_and_chains_lead_to_no_other_prefix(name: str) -> None:
    prefix = OURS._replace(chain=name, run_uid=name).prefix(StorageTier.TRANSIENT)
    parts = prefix.rstrip("/").split("/")
    assert parts[:2] == ["transient", "ns"]
    assert len(parts) == 4
    checked_key(prefix)


def test_one_content_under_two_media_types_is_two_objects() -> None:
    names = {object_name(SHA, media, "default") for media in ("default", "text/csv", "text/plain")}
    assert len(names) == 3
    assert {digest_in(f"retained/ns/uid/{name}") for name in names} == {SHA}


def test_only_a_tiers_key_promises_a_digest() -> None:
    assert digest_in(f"mine/{SHA}") is None
