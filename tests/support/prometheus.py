"""A real Prometheus that scrapes the operator's replicas through the API server, and answers queries."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
import yaml
from tests.support.kube import eventually

INSTALL = "is missing: hack/cluster/cluster deps --install --tests"


@dataclass(frozen=True)
class Prometheus:
    """One that is running."""

    address: str
    pool: urllib3.PoolManager

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The present samples of an expression; the error that Prometheus tells is raised."""
        answer = self.pool.request(
            "POST", f"{self.address}/api/v1/query", fields={"query": expression}, encode_multipart=False, timeout=10.0
        )
        document = json.loads(answer.data)
        assert document["status"] == "success", f"{expression}: {document.get('error')}"
        result: list[dict[str, Any]] = document["data"]["result"]
        return result

    def ready(self) -> bool:
        try:
            return self.pool.request("GET", f"{self.address}/-/ready", timeout=2.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def program(name: str) -> str:
    """Path of `prometheus` or `promtool`."""
    path = shutil.which(name)
    assert path, f"{name} {INSTALL}"
    return path


@contextmanager
def scraping(paths: list[str], kubeconfig: Path, folder: Path) -> Iterator[Prometheus]:
    """Prometheus, scraping these paths of the API server every second."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    server = urlsplit(cluster["server"])
    tls = {
        "ca_file": _file(cluster, "certificate-authority", folder),
        "cert_file": _file(user, "client-certificate", folder),
        "key_file": _file(user, "client-key", folder),
    }
    scrapes = [
        {
            "job_name": f"apprun-{number}",
            "scheme": server.scheme,
            "metrics_path": path,
            "tls_config": tls,
            "static_configs": [{"targets": [server.netloc], "labels": {"instance": f"operator-{number}"}}],
        }
        for number, path in enumerate(paths)
    ]
    asked = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": scrapes}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(asked))
    port = _free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            prometheus = Prometheus(f"http://127.0.0.1:{port}", urllib3.PoolManager(retries=False))
            eventually("Prometheus is ready", lambda: prometheus.ready() or process.poll() is not None or None, 60)
            assert process.poll() is None, (folder / "log").read_text()
            yield prometheus
        finally:
            process.terminate()
            process.wait(30)


def _file(entry: dict[str, Any], name: str, folder: Path) -> str:
    if name in entry:
        return str(entry[name])
    path = folder / name
    path.write_bytes(base64.b64decode(entry[f"{name}-data"]))
    path.chmod(0o600)
    return str(path)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
