"""What can be wrong between a person and a cluster: an exit code of its own for each, and what to do about it."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from tests.support.cluster_wire import NAMESPACED, FakeCluster
from tests.support.wire_server import refuse
from tests.unit.cli.conftest import Command
from typing_extensions import override

FORBIDDEN = 'appruns.apprun.dev is forbidden: User "ada" cannot list resource "appruns" in API group "apprun.dev"'


def edit(cluster: FakeCluster, part: str, /, **fields: object) -> None:
    """Change the one context, cluster or user of the kubeconfig."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    entry = config[f"{part}s"][0][part]
    entry.update(fields)
    config[f"{part}s"][0][part] = {name: value for name, value in entry.items() if value is not None}
    cluster.kubeconfig.write_text(yaml.safe_dump(config))


def test_without_a_kubeconfig_there_is_no_cluster(apprun: Command) -> None:
    done = apprun("submit", "hello")
    assert (done.code, "no-kubeconfig" in done.err, "--kubeconfig" in done.err) == (10, True, True)


def test_an_unknown_context_is_answered_with_those_there_are(apprun: Command, cluster: FakeCluster) -> None:
    done = apprun("list", "--context", "prod")
    assert (done.code, "no context 'prod'" in done.err, "it has test" in done.err) == (10, True, True)


def test_a_server_that_does_not_answer_is_named_with_its_context(apprun: Command, cluster: FakeCluster) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{free.getsockname()[1]}"
        edit(cluster, "cluster", server=server)
        done = apprun("list", "--cluster")
    assert done.code == 10
    assert server in done.err
    assert "context 'test'" in done.err


def test_a_server_with_a_foreign_certificate_is_not_talked_to(
    apprun: Command, cluster: FakeCluster, home: Path
) -> None:
    edit(cluster, "cluster", **{"certificate-authority": None})
    done = apprun("list", "--cluster")
    assert (done.code, "certificate" in done.err) == (10, True)
    assert apprun("list", "--cluster", "-o", "json").json["error"]["type"] == "NoClusterError"
    edit(cluster, "cluster", **{"insecure-skip-tls-verify": True})
    assert apprun("list", "--cluster").code == 0


def test_a_file_that_is_no_kubeconfig_is_said_to_be_none(apprun: Command, cluster: FakeCluster) -> None:
    cluster.kubeconfig.write_text("just a text")
    assert apprun("list", "--cluster").code == 10
    cluster.kubeconfig.write_text("a: [1")
    assert "can't be read as a kubeconfig" in apprun("list", "--cluster").err


@pytest.mark.parametrize(("part", "name"), [("cluster", "clusters"), ("user", "users")])
def test_a_context_that_leads_nowhere_says_what_is_missing(
    apprun: Command, cluster: FakeCluster, part: str, name: str
) -> None:
    edit(cluster, "context", **{part: "gone"})
    done = apprun("list", "--cluster")
    assert (done.code, f"none among its {name}" in done.err) == (10, True)


def test_who_is_not_known_is_told_to_log_in(apprun: Command, cluster: FakeCluster) -> None:
    cluster.refusals["GET", f"{NAMESPACED}/appruns"] = refuse(401, "Unauthorized", "Unauthorized")
    done = apprun("list", "--cluster")
    assert (done.code, "Log in again" in done.err) == (11, True)


def test_who_may_not_is_told_what_and_who_can_help(apprun: Command, cluster: FakeCluster) -> None:
    cluster.refusals["GET", f"{NAMESPACED}/appruns"] = refuse(403, "Forbidden", FORBIDDEN)
    done = apprun("list", "--cluster")
    assert done.code == 11
    assert FORBIDDEN in done.err
    assert "kubectl create rolebinding" in done.err


def test_missing_crds_and_a_missing_run_differ(apprun: Command, cluster: FakeCluster) -> None:
    assert apprun("show", "r", "--cluster").code == 4
    cluster.served = False
    done = apprun("show", "r", "--cluster")
    assert (done.code, "helm install" in done.err) == (12, True)


def test_a_refused_object_is_told_in_the_servers_words(apprun: Command, cluster: FakeCluster) -> None:
    cluster.put(f"{NAMESPACED}/apps/hello", {"spec": {}})
    cluster.refusals["POST", f"{NAMESPACED}/appruns"] = refuse(422, "Invalid", "spec.input: Invalid value")
    done = apprun("submit", "hello")
    assert (done.code, "spec.input: Invalid value" in done.err) == (3, True)


def test_fields_that_somebody_else_manages_are_left_to_them(apprun: Command, cluster: FakeCluster) -> None:
    from tests.support.wire_server import answer

    cause = {"reason": "FieldManagerConflict", "field": ".spec.entry", "message": 'conflict with "argocd"'}
    body = {"kind": "Status", "code": 409, "reason": "Conflict", "message": "conflict", "details": {"causes": [cause]}}
    cluster.refusals["PATCH", f"{NAMESPACED}/apps/flow"] = answer(409, body)
    done = apprun("deploy", "orders:Flow", "--image", "i:1")
    assert (done.code, 'conflict with "argocd"' in done.err, "--force" in done.err) == (5, True, True)


def test_a_busy_server_is_not_a_missing_one(apprun: Command, cluster: FakeCluster) -> None:
    cluster.refusals["GET", f"{NAMESPACED}/appruns"] = refuse(503, "ServiceUnavailable", "etcd is away")
    done = apprun("list", "--cluster")
    assert (done.code, "etcd is away" in done.err) == (10, True)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["list", "--local", "-n", "x"], "--local means this machine's runs, and -n a cluster's"),
        (["list", "-A", "--local"], "leave one of them out"),
        (["deploy", "x.py", "--image", "i", "--name", "No"], "there is no file"),
        (["submit", "x", "--name", "No_Name"], "can't be the name of a run"),
        (["submit", "x", "-i", "[1]"], "an input is an object"),
    ],
)
def test_what_contradicts_itself_is_refused_here(
    apprun: Command, cluster: FakeCluster, arguments: list[str], text: str
) -> None:
    done = apprun(*arguments)
    assert done.code in (2, 3)
    assert text in done.err
    assert cluster.wire.requests == []


def test_the_place_in_the_environment_is_local_or_cluster(
    apprun: Command, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run("r", phase="Running")
    apprun.run("run")
    monkeypatch.setenv("APPRUN_PLACE", "cluster")
    assert apprun("list", "-o", "name").out == "r\n"
    assert apprun("list", "-o", "name", "--local").out == "o1\n"
    monkeypatch.setenv("APPRUN_PLACE", "moon")
    assert apprun("list").code == 2


def test_credentials_stand_in_the_file_or_come_from_another(
    apprun: Command, cluster: FakeCluster, home: Path, certificate: tuple[Path, Path]
) -> None:
    cluster.run("r", phase="Running")
    (home / "token").write_text("from-file\n")
    edit(cluster, "user", token=None, tokenFile="token")
    data = base64.b64encode(certificate[0].read_bytes()).decode()
    edit(cluster, "cluster", **{"certificate-authority": None, "certificate-authority-data": data})
    assert apprun("list", "--cluster", "-o", "name").out == "r\n"
    assert cluster.wire.requests[-1].headers["authorization"] == "Bearer from-file"


def test_inline_client_certificates_leave_no_file(
    apprun: Command, cluster: FakeCluster, home: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    private = home / "temporary"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in certificate]
    edit(cluster, "user", **{"client-certificate-data": encoded[0], "client-key-data": encoded[1]})
    assert apprun("list", "--cluster").code == 0
    assert list(private.iterdir()) == []
    edit(cluster, "user", **{"client-key-data": "bm90aGluZw=="})
    assert apprun("list", "--cluster").code == 10


def test_a_credential_plugin_is_asked(apprun: Command, cluster: FakeCluster, home: Path) -> None:
    cluster.run("r", phase="Running")
    plugin = home / "plugin.py"
    plugin.write_text(
        "import json\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': 'from-plugin'}}))\n"
    )
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(plugin)],
        "interactiveMode": "Never",
    }
    edit(cluster, "user", token=None, exec=command)
    assert apprun("list", "--cluster", "-o", "name").out == "r\n"
    assert cluster.wire.requests[-1].headers["authorization"] == "Bearer from-plugin"


def test_a_plugin_without_the_library_names_the_package(
    apprun: Command, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(cluster, "user", token=None, exec={"apiVersion": "v1", "command": "x"})
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    done = apprun("list", "--cluster")
    assert (done.code, "pip install '/path/to/apprun[kubeconfig]'" in done.err) == (10, True)


def test_several_kubeconfigs_are_one(
    apprun: Command, cluster: FakeCluster, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.run("r", phase="Running")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    (home / "users").write_text(yaml.safe_dump({"users": config.pop("users")}))
    cluster.kubeconfig.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", f"{cluster.kubeconfig}:{home / 'users'}")
    assert apprun("list", "--cluster", "-o", "name").out == "r\n"


def test_tls_server_name_accepts_another_name(apprun: Command, cluster: FakeCluster) -> None:
    cluster.run("r", phase="Running")
    edit(cluster, "cluster", server=f"https://localhost:{cluster.wire.port}")
    assert "certificate" in apprun("list", "--cluster").err
    edit(cluster, "cluster", **{"tls-server-name": "127.0.0.1"})
    assert apprun("list", "--cluster", "-o", "name").out == "r\n"


class Proxy(socketserver.StreamRequestHandler):
    """Connects to where it is asked, and notes what it was asked with."""

    heads: ClassVar[list[bytes]] = []
    answer: ClassVar[bytes] = b""

    @override
    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        self.heads.append(head)
        self.wfile.write(b"HTTP/1.1 " + self.answer + b"\r\nVia: test\r\n\r\n")
        if not self.answer.startswith(b"200"):
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=pump, args=(server, self.connection))
            back.start()
            pump(self.connection, server)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Everything that comes, until its end."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy() -> Iterator[str]:
    """Address of an HTTP proxy."""
    Proxy.heads, Proxy.answer = [], b"200 Connection established"
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_cluster_behind_a_proxy_is_reached_through_it(apprun: Command, cluster: FakeCluster, proxy: str) -> None:
    cluster.run("r", phase="Running")
    edit(cluster, "cluster", **{"proxy-url": f"http://ada:s%40fe@{proxy}"})
    assert apprun("list", "--cluster", "-o", "name").out == "r\n"
    head = Proxy.heads[0]
    assert head.startswith(f"CONNECT 127.0.0.1:{cluster.wire.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ada:s@fe") + b"\r\n" in head
    assert b"secret-token" not in b"".join(Proxy.heads), "that is the server's, in the tunnel"


def test_a_proxy_that_refuses_or_is_of_another_kind_is_told_of(
    apprun: Command, cluster: FakeCluster, proxy: str
) -> None:
    Proxy.answer = b"407 Proxy Authentication Required"
    edit(cluster, "cluster", **{"proxy-url": f"http://{proxy}"})
    done = apprun("list", "--cluster")
    assert (done.code, f"the proxy {proxy} answers 407 Proxy Authentication Required" in done.err) == (10, True)
    edit(cluster, "cluster", **{"proxy-url": f"socks5://ada:safe@{proxy}"})
    done = apprun("list", "--cluster")
    assert (done.code, "only http:// proxies are known here" in done.err, "safe" in done.err) == (10, True, False)
