"""What images are made of: a base by digest, a bill of materials, and how both are kept current."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hack import base_digest
from hack.base_digest import BASE, DOCKERFILE
from hack.images import sbom
from typing_extensions import override

DIGEST = f"sha256:{'a' * 64}"
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Status: not a field

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
# What the schema of CycloneDX 1.6 requires and restricts of what is written here.
REQUIRED = {"bomFormat", "specVersion"}
TYPES = {"application", "container", "library", "platform"}
SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Registry(BaseHTTPRequestHandler):
    """A registry that gives a digest to whoever has asked for a token first."""

    digest = DIGEST

    def do_HEAD(self) -> None:
        if self.headers.get("Authorization") != "Bearer t0":
            self.send_response(401)
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="r",scope="repository:x:pull"')
        elif self.path == "/v2/library/python/manifests/3.12" and "image.index" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", self.digest)
        else:
            self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"token": "t0"}')

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    """Host and port of one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def dockerfile(folder: Path, registry: str, tag: str = "3.12") -> Path:
    path = folder / "Dockerfile"
    path.write_text(f"ARG BASE={registry}/library/python:{tag}@sha256:{'0' * 64}\nFROM ${{BASE}}\n")
    return path


def test_base_image_of_a_registry_is_named_by_digest() -> None:
    assert BASE.search(DOCKERFILE.read_text("utf-8")) is not None


def test_digest_of_today_is_written(tmp_path: Path, registry: str) -> None:
    path = dockerfile(tmp_path, registry)
    arguments = ["--dockerfile", str(path), "--scheme", "http"]
    assert base_digest.main([*arguments, "--check"]) == 1
    assert base_digest.main(arguments) == 0
    assert path.read_text() == f"ARG BASE={registry}/library/python:3.12@{DIGEST}\nFROM ${{BASE}}\n"
    assert base_digest.main([*arguments, "--check"]) == 0


@pytest.mark.parametrize("tag", ["3.99", "unreachable"])
def test_digest_stays_where_the_registry_cannot_be_asked(
    tmp_path: Path, registry: str, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dockerfile(tmp_path, "127.0.0.1:1" if tag == "unreachable" else registry, tag)
    before = path.read_text()
    assert base_digest.main(["--dockerfile", str(path), "--scheme", "http"]) == base_digest.UNREACHABLE
    assert path.read_text() == before
    assert "Nothing was changed" in capsys.readouterr().err


def test_bill_names_what_is_installed() -> None:
    bill = sbom.bill(
        "apprun-runtime", "0.1.0", [*sbom.python_components(), *sbom.debian_components(STATUS, "debian-12")]
    )
    found = {component["purl"] for component in bill["components"]}
    assert f"pkg:pypi/pydantic@{distribution('pydantic').version}" in found
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12" in found
    assert not any("gone" in purl for purl in found)
    assert any(purl.startswith("pkg:generic/python@3.") for purl in found)


def test_bill_meets_the_schema() -> None:
    bill = sbom.bill("apprun-runtime", "0.1.0", sbom.python_components())
    assert set(bill) >= REQUIRED
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert SERIAL.fullmatch(bill["serialNumber"])
    every = [bill["metadata"]["component"], *bill["components"]]
    references = [component["bom-ref"] for component in every]
    assert len(references) == len(set(references))
    for component in every:
        assert component["type"] in TYPES
        assert component["name"]
        assert component["version"]
        assert set(component) <= {"type", "bom-ref", "name", "version", "purl", "licenses"}


def test_same_content_gives_the_same_bill() -> None:
    components = sbom.python_components()
    assert sbom.bill("a", "1", components) == sbom.bill("a", "1", components[::-1])
    assert sbom.bill("a", "1", components)["serialNumber"] != sbom.bill("a", "2", components)["serialNumber"]


def test_bill_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", sbom.__file__, "x", "1"], capture_output=True, text=True, check=True
    )
    assert '"bomFormat": "CycloneDX"' in done.stdout


def test_each_image_holds_its_bill() -> None:
    text = DOCKERFILE.read_text("utf-8")
    for target in ("runtime", "operator"):
        assert f"sbom.py apprun-{target}" in text
        assert f"FROM scratch AS {target}-sbom" in text
