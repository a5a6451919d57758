"""The cluster's keys and certificates, made with openssl, and the kubeconfigs that carry them.

Made once for each cluster and never renewed: a cluster is taken down long before its certificates end.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.settings import Addresses
from hack.cluster.shell import run

_DAYS = "365"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
ADMIN = "admin"


@dataclass(frozen=True)
class Identity:
    """Whom a certificate speaks for: a file name, an X.509 subject and, for servers, the names it is reached by."""

    file: str
    subject: str
    reached_by: tuple[str, ...] = ()


def control_plane_identities(addresses: Addresses) -> list[Identity]:
    """The certificates that exist once in a cluster."""
    api_server_names = (
        f"IP:{addresses.control_plane}",
        f"IP:{addresses.kubernetes_service}",
        "IP:127.0.0.1",
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:kubernetes.default.svc.cluster.local",
        "DNS:localhost",
    )
    return [
        Identity("apiserver", "/CN=kube-apiserver", api_server_names),
        Identity("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Identity(ADMIN, "/O=system:masters/CN=kubernetes-admin"),
        Identity("controller-manager", "/CN=system:kube-controller-manager"),
        Identity("scheduler", "/CN=system:kube-scheduler"),
        Identity("kube-proxy", "/CN=system:kube-proxy"),
    ]


def node_identity(number: int, addresses: Addresses) -> Identity:
    """The certificate of one kubelet, as client and as server."""
    names = (f"IP:{addresses.node(number)}", f"DNS:node{number}")
    return Identity(f"node{number}", f"/O=system:nodes/CN=system:node:node{number}", names)


def make(folder: Path, identities: Sequence[Identity]) -> None:
    """Makes the authority, the service accounts' key pair and the certificates, as far as they are missing."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / "ca.crt").exists():
        _make_authority(folder)
    if not (folder / "service-accounts.pub").exists():
        _make_service_account_keys(folder)
    missing = [identity for identity in identities if not (folder / f"{identity.file}.crt").exists()]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda identity: _sign(folder, identity), missing))


def _make_authority(folder: Path) -> None:
    key, partial = folder / "ca.key", folder / "ca.crt.partial"
    run(
        [
            "openssl",
            "req",
            "-x509",
            *_CURVE,
            "-keyout",
            key,
            "-out",
            partial,
            "-days",
            _DAYS,
            "-subj",
            "/CN=kubernetes-ca",
        ]
    )
    partial.rename(folder / "ca.crt")


def _make_service_account_keys(folder: Path) -> None:
    key, partial = folder / "service-accounts.key", folder / "service-accounts.pub.partial"
    run(["openssl", "genrsa", "-out", key, "2048"])
    run(["openssl", "rsa", "-in", key, "-pubout", "-out", partial])
    partial.rename(folder / "service-accounts.pub")


def _sign(folder: Path, identity: Identity) -> None:
    # The certificate gets its name last: a run that is cut short leaves none that lacks its key.
    partial = folder / f"{identity.file}.crt.partial"
    names = ["-addext", f"subjectAltName={','.join(identity.reached_by)}"] if identity.reached_by else []
    run(
        [
            *("openssl", "req", "-x509", *_CURVE, "-days", _DAYS, "-subj", identity.subject),
            *("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"),
            *("-keyout", folder / f"{identity.file}.key", "-out", partial),
            *(
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-addext",
                "extendedKeyUsage=serverAuth,clientAuth",
                *names,
            ),
        ]
    )
    partial.rename(folder / f"{identity.file}.crt")


def kubeconfig(folder: Path, identity: str, *, server: str, context: str) -> str:
    """A kubeconfig that carries its certificates within, so that it works wherever it is copied."""

    def inline(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")}},
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": inline(f"{identity}.crt"),
                    "client-key-data": inline(f"{identity}.key"),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    return json.dumps(document, indent=2) + "\n"
