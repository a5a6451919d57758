"""When a built program is built again, and with which Go."""

from __future__ import annotations

from pathlib import Path

import pytest
from hack.cluster.binaries import KUBE, content_key, go_version


def test_the_key_follows_names_contents_and_words(tmp_path: Path) -> None:
    main, module = tmp_path / "main.go", tmp_path / "go.mod"
    main.write_text("package main")
    module.write_text("module x")
    files = [module, main]
    before = content_key(files, ["-s"])
    assert content_key(files, ["-s"]) == before
    assert content_key(files, ["-w"]) != before
    assert content_key([main], ["-s"]) != before
    main.write_text("package main // changed")
    assert content_key(files, ["-s"]) != before


def test_two_words_are_not_one_longer_word() -> None:
    assert content_key((), ["ab", "c"]) != content_key((), ["a", "bc"])


def test_one_program_serves_every_component() -> None:
    assert {"etcd", "kube-apiserver", "kubelet", "kube-proxy", "kubectl"} <= set(KUBE.links)


def test_the_program_has_the_version_of_its_modules() -> None:
    assert KUBE.source is not None
    version = KUBE.ldflags.split("gitVersion=")[1].split()[0]
    assert f"k8s.io/kubernetes {version}\n" in (KUBE.source / "go.mod").read_text()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.24.3 linux/amd64", (1, 24)),
        ("go version go1.26 linux/arm64", (1, 26)),
        ("go version devel +abc", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_of_go_is_read_as_numbers(text: str, version: tuple[int, int]) -> None:
    assert go_version(text) == version
