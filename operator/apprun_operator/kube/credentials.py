"""The API server's address and the operator's identity: the pod's service account, or the
kubeconfig's context.

`main` reads them once. Only a service account's token is read again, since kubelet rotates it.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from application_sdk.wire.digest import JSONObject

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_MAX_AGE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server and one identity there."""

    server: str
    ssl: ssl.SSLContext | bool
    headers: Callable[[], Mapping[str, str]]
    """Called for each request, since the token may have changed."""
    invalidate: Callable[[], None] = lambda: None
    """Called when the API server rejected the headers, so that the next ones are fresh."""
    account: JSONObject | None = None
    """The operator's service account as an ownerReference, for what it creates in its namespace;
    None outside a cluster."""


class NoClusterError(Exception):
    """There is neither a service account nor a kubeconfig.

    The message says where they were looked for.
    """


class RotatingToken:
    """A token file that kubelet rewrites.

    It is read again after a minute, or when the API server rejected the token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""
        self._read_at = 0.0

    def invalidate(self) -> None:
        """Have the file read again for the next request."""
        self._token = ""

    def headers(self) -> Mapping[str, str]:
        now = time.monotonic()
        token = self._token  # the other thread may invalidate it in between
        if not token or now - self._read_at > TOKEN_MAX_AGE:
            token = self._token = self._path.read_text().strip()
            self._read_at = now
        return {"Authorization": f"Bearer {token}"}


def account_of(token: str) -> JSONObject | None:
    """The service account of a token, as an ownerReference; None if the token names none.

    The token isn't verified: the API server issued it.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        account = claims["kubernetes.io"]["serviceaccount"]
        return {"apiVersion": "v1", "kind": "ServiceAccount", "name": str(account["name"]), "uid": str(account["uid"])}
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def load(environment: Mapping[str, str]) -> Cluster:
    """The cluster that this process runs in, or the one of its kubeconfig.

    Raises NoClusterError if there is neither.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if host and (SERVICE_ACCOUNT / "token").exists():
        ca = str(SERVICE_ACCOUNT / "ca.crt")
        address = f"[{host}]" if ":" in host else host
        token = RotatingToken(SERVICE_ACCOUNT / "token")
        context = ssl.create_default_context(cafile=ca)
        account = account_of((SERVICE_ACCOUNT / "token").read_text())
        return Cluster(f"https://{address}:{port}", context, token.headers, token.invalidate, account)
    return _from_kubeconfig()


def _from_kubeconfig() -> Cluster:
    # Imported here: inside a cluster it isn't needed, and it takes half a second and much memory.
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    loaded = client.Configuration()
    try:
        config.load_kube_config(client_configuration=loaded)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise NoClusterError(
            f"this isn't a pod with a service account ({SERVICE_ACCOUNT}), and there is no usable kubeconfig"
            f" ($KUBECONFIG or ~/.kube/config): {error}. Run it in a cluster, or set KUBECONFIG"
        ) from error
    context: ssl.SSLContext | bool = True
    if loaded.host.startswith("https"):
        context = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
        if not loaded.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if loaded.cert_file:
            context.load_cert_chain(loaded.cert_file, loaded.key_file)

    def headers() -> Mapping[str, str]:
        # Called for each request: the library renews the credentials of plug-ins.
        auth_settings = cast("Iterable[Mapping[str, str]]", loaded.auth_settings().values())
        return {setting["key"]: setting["value"] for setting in auth_settings if setting["in"] == "header"}

    return Cluster(loaded.host, context, headers)
