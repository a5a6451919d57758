"""Servers that a test needs at a place of the cluster: a registry beside a node's containerd, a webhook beside the API
server. Each is a process of its own in the network namespace of that machine, and ends with the test."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.bed import Bed

REGISTRY_PORT = 5000
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def registry_on(bed: Bed, node: str) -> Iterator[None]:
    """A registry at localhost:5000 of the node. It knows no image `absent`, gives `denied` to nobody, and never ends to
    think about `slow`."""
    with _running(bed, node, "registry", str(REGISTRY_PORT)):
        yield


@contextmanager
def webhook(bed: Bed, certificate: Path, key: Path, port: int) -> Iterator[None]:
    """A webhook at 127.0.0.1 of the control plane that agrees to nothing."""
    with _running(bed, "cp", "webhook", str(port), str(certificate), str(key)):
        yield


def as_bundle(certificate: Path) -> str:
    """A certificate as webhook configurations carry it."""
    return base64.b64encode(certificate.read_bytes()).decode()


@contextmanager
def _running(bed: Bed, machine: str, *arguments: str) -> Iterator[None]:
    inside = ["nsenter", f"--net=/run/netns/{bed.name}-{machine}"]
    command = [*inside, sys.executable, "-m", "tests.support.remote", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield
        finally:
            process.kill()


class _Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "/slow/" in self.path:
            time.sleep(3600)
        if "/denied/" in self.path:
            self._answer(403, {"errors": [{"code": "DENIED", "message": "requested access is denied"}]})
        elif "/manifests/" in self.path or "/blobs/" in self.path:
            self._answer(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        else:
            self._answer(200, {})

    do_HEAD = do_GET

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _Webhook(_Registry):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = {"code": 418, "message": "no pods on Fridays"}
        answer = {"uid": review["request"]["uid"], "allowed": False, "status": status}
        self._answer(200, {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})


def _main(kind: str, port: str, *files: str) -> None:
    handler = {"registry": _Registry, "webhook": _Webhook}[kind]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main(*sys.argv[1:])
