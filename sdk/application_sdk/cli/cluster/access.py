"""Which API server, and as whom: a kubeconfig as kubectl reads it, or, in a pod without one, its service account.

A kubeconfig whose credentials stand in it is read here, in milliseconds. Everything else (credential plugins, auth
providers, several files merged) is the `kubernetes` package's matter, which takes half a second to import.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from application_sdk.cli.cluster.errors import NoClusterError
from application_sdk.cli.cluster.tunnel import tunnel
from application_sdk.engines.kubernetes.connection import Address

if TYPE_CHECKING:
    from application_sdk.cli.target import Target

KUBECONFIG: Final = "KUBECONFIG"
DEFAULT: Final = "~/.kube/config"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXTRA: Final = "pip install '/path/to/apprun[kubeconfig]' (a clone or a wheel)"

_PLAIN_USER: Final = frozenset(
    {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"}
)
_PLAIN_CLUSTER: Final = frozenset(
    {
        "server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "extensions",
        "proxy-url", "tls-server-name",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and one identity there."""

    context: str
    server: str
    namespace: str
    address: Address
    base: str = ""
    """What stands before each path, for API servers behind a proxy."""
    headers: Callable[[], Mapping[str, str]] = field(default=dict)


def is_configured(target: Target, environ: Mapping[str, str]) -> bool:
    """Whether there is anything to find a cluster with. Looks at files only."""
    return bool(target.kubeconfig) or any(path.is_file() for path in _files(target, environ)) or _in_pod(environ)


def find_access(target: Target, environ: Mapping[str, str]) -> Access:
    """The cluster that options and environment name. Raises NoClusterError."""
    files = _files(target, environ)
    existing = [path for path in files if path.is_file()]
    if existing:
        return _from_kubeconfig(existing, target)
    if not target.kubeconfig and not target.context and _in_pod(environ):
        return _from_service_account(target, environ)
    searched = ", ".join(str(path) for path in files)
    raise NoClusterError(
        f"no cluster is configured: there is no {searched}. Give --kubeconfig FILE, or set ${KUBECONFIG},"
        " as for kubectl"
    )


def context_names(target: Target, environ: Mapping[str, str]) -> list[str]:
    """Names of all contexts. Raises NoClusterError for a file that is no kubeconfig."""
    existing = [path for path in _files(target, environ) if path.is_file()]
    return [str(entry.get("name")) for path in existing for entry in _entries(_read(path), "contexts")]


def _files(target: Target, environ: Mapping[str, str]) -> list[Path]:
    if target.kubeconfig:
        return [Path(target.kubeconfig).expanduser()]
    named = [part for part in environ.get(KUBECONFIG, "").split(":") if part]
    return [Path(part).expanduser() for part in named or [DEFAULT]]


def _in_pod(environ: Mapping[str, str]) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environ and (SERVICE_ACCOUNT / "token").is_file()


def _from_service_account(target: Target, environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], int(environ.get("KUBERNETES_SERVICE_PORT", "443"))
    trust = ssl.create_default_context(cafile=SERVICE_ACCOUNT / "ca.crt")
    namespace = target.namespace or (SERVICE_ACCOUNT / "namespace").read_text().strip()
    address = Address(host, port, trust)
    token = SERVICE_ACCOUNT / "token"
    return Access("in-cluster", f"https://{address.authority}", namespace, address, headers=_token_file(token))


def _from_kubeconfig(files: Sequence[Path], target: Target) -> Access:
    configs = [_read(path) for path in files]
    name = target.context or next(
        (text for config in configs if (text := str(config.get("current-context") or ""))), ""
    )
    contexts = [str(entry.get("name")) for config in configs for entry in _entries(config, "contexts")]
    if not name:
        raise NoClusterError(f"{files[0]} has no current context. Choose one with --context: {_listed(contexts)}")
    if name not in contexts:
        raise NoClusterError(f"there is no context {name!r} in {files[0]}; it has {_listed(contexts)}")
    if len(files) == 1:
        context = _named(configs[0], "contexts", name, "context", files[0])
        cluster = _named(configs[0], "clusters", str(context.get("cluster")), "cluster", files[0])
        user_name = context.get("user")
        user = _named(configs[0], "users", str(user_name), "user", files[0]) if user_name else {}
        if cluster.keys() <= _PLAIN_CLUSTER and user.keys() <= _PLAIN_USER:
            return _plain(name, context, cluster, user, target, files[0])
    return _by_library(files, name, target)


def _plain(
    name: str,
    context: Mapping[str, Any],
    cluster: Mapping[str, Any],
    user: Mapping[str, Any],
    target: Target,
    file: Path,
) -> Access:
    try:
        address, base = _address(
            str(cluster["server"]),
            lambda: _trust(cluster, user, file.parent),
            str(cluster.get("tls-server-name") or ""),
            str(cluster.get("proxy-url") or ""),
        )
        if "token" in user:
            headers = _token(str(user["token"]))
        else:
            headers = _token_file(file.parent / str(user["tokenFile"])) if "tokenFile" in user else dict
    except (OSError, ValueError, KeyError, binascii.Error) as error:
        raise NoClusterError(f"context {name!r} of {file} can't be used: {type(error).__name__}: {error}") from error
    namespace = target.namespace or str(context.get("namespace") or "default")
    return Access(name, str(cluster["server"]), namespace, address, base, headers)


def _by_library(files: Sequence[Path], name: str, target: Target) -> Access:
    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
    except ImportError as error:
        raise NoClusterError(
            f"the credentials of context {name!r} in {files[0]} come from a plugin or from several files; reading those"
            f" needs the kubernetes package: {EXTRA}"
        ) from error
    loaded = client.Configuration()
    text = ":".join(str(path) for path in files)
    try:
        config.load_kube_config(config_file=text, context=name, client_configuration=loaded)  # type: ignore[no-untyped-call]
        contexts, _ = config.list_kube_config_contexts(config_file=text)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, ValueError) as error:
        raise NoClusterError(f"context {name!r} of {text} can't be used: {error}") from error
    context = next((entry.get("context") or {} for entry in contexts if entry["name"] == name), {})

    def trust() -> ssl.SSLContext:
        ssl_context = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
        if not loaded.verify_ssl:
            ssl_context.check_hostname, ssl_context.verify_mode = False, ssl.CERT_NONE
        if loaded.cert_file:
            ssl_context.load_cert_chain(loaded.cert_file, loaded.key_file)
        return ssl_context

    def headers() -> Mapping[str, str]:
        # Asked for each request: the library renews what a plugin gave it.
        settings = cast("Iterable[Mapping[str, str]]", loaded.auth_settings().values())
        return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}

    try:
        address, base = _address(str(loaded.host), trust, loaded.tls_server_name or "", loaded.proxy or "")
    except (OSError, ValueError) as error:
        raise NoClusterError(f"context {name!r} of {text} can't be used: {error}") from error
    namespace = target.namespace or str(context.get("namespace") or "default")
    return Access(name, str(loaded.host), namespace, address, base, headers)


def _address(server: str, trust: Callable[[], ssl.SSLContext], server_name: str, proxy: str) -> tuple[Address, str]:
    parts = urlsplit(server if "://" in server else f"https://{server}")
    if not parts.hostname:
        raise ValueError(f"server {server!r} is no URL")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    dial = tunnel(proxy, parts.hostname, port) if proxy else None
    address = Address(parts.hostname, port, trust() if secure else None, server_name, dial)
    return address, parts.path.rstrip("/")


def _trust(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    if "certificate-authority-data" in cluster:
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        context = ssl.create_default_context(cafile=folder / cluster["certificate-authority"])
    else:
        context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if "client-certificate-data" in user or "client-certificate" in user:
        _load_pair(context, user, folder)
    return context


def _load_pair(context: ssl.SSLContext, user: Mapping[str, Any], folder: Path) -> None:
    """Client certificate and key. `ssl` takes files only, so inline ones are in files of our own for a moment."""
    with tempfile.TemporaryDirectory(prefix="apprun-") as private:
        paths: list[Path] = []
        for part in ("client-certificate", "client-key"):
            if f"{part}-data" in user:
                path = Path(private) / part
                path.touch(mode=0o600)
                path.write_bytes(base64.b64decode(user[f"{part}-data"]))
            else:
                path = folder / user[part]
            paths.append(path)
        context.load_cert_chain(str(paths[0]), str(paths[1]))


def _token(token: str) -> Callable[[], Mapping[str, str]]:
    return lambda: {"Authorization": f"Bearer {token}"}


def _token_file(path: Path) -> Callable[[], Mapping[str, str]]:
    # Read for each request: the kubelet replaces it.
    return lambda: {"Authorization": f"Bearer {path.read_text().strip()}"}


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        config: object = yaml.load(path.read_text("utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise NoClusterError(f"{path} can't be read as a kubeconfig: {error}") from error
    if not isinstance(config, dict):
        raise NoClusterError(f"{path} is no kubeconfig: it is {'empty' if config is None else 'not an object'}")
    return config


def _entries(config: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    entries = config.get(kind)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _named(config: Mapping[str, Any], kind: str, name: str, part: str, file: Path) -> Mapping[str, Any]:
    for entry in _entries(config, kind):
        if entry.get("name") == name:
            value = entry.get(part)
            return value if isinstance(value, dict) else {}
    raise NoClusterError(f"{file} names a {part} {name!r}, but there is none among its {kind}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no contexts at all"
