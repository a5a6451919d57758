"""The few questions that the test bed itself asks the API server, over HTTPS with the administrator's certificate."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from hack.cluster import pki
from hack.cluster.configs import API_PORT
from hack.cluster.layout import ClusterDir
from hack.cluster.settings import Settings

_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class NodeState:
    """What the API server says of one node; ``heard_at`` is when its kubelet last said so, cut to whole seconds."""

    name: str
    ready: bool
    heard_at: float


class Api:
    """A connection for each request: what is asked here is asked of servers that come and go."""

    def __init__(self, cluster: ClusterDir, settings: Settings) -> None:
        self._host = str(settings.addresses.control_plane)
        self._tls = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        self._tls.load_cert_chain(cluster.pki / f"{pki.ADMIN}.crt", cluster.pki / f"{pki.ADMIN}.key")

    def is_ready(self) -> bool:
        """Whether the API server calls itself ready, which includes its etcd."""
        try:
            return self._get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def nodes(self) -> list[NodeState] | None:
        """All nodes in the order of their names; None when the API server doesn't answer."""
        try:
            status, body = self._get("/api/v1/nodes")
        except (OSError, http.client.HTTPException):
            return None
        if status != 200:
            return None
        items = cast(list[dict[str, Any]], json.loads(body)["items"])
        return sorted((_node_state(item) for item in items), key=lambda node: node.name)

    def has_default_service_account(self) -> bool:
        """Whether the namespace ``default`` can take pods yet."""
        try:
            return self._get("/api/v1/namespaces/default/serviceaccounts/default")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._host, API_PORT, timeout=_TIMEOUT_SECONDS, context=self._tls)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _node_state(item: dict[str, Any]) -> NodeState:
    conditions = {condition["type"]: condition for condition in item["status"].get("conditions", [])}
    ready = conditions.get("Ready")
    if ready is None:
        return NodeState(item["metadata"]["name"], ready=False, heard_at=0.0)
    heard = datetime.fromisoformat(ready["lastHeartbeatTime"])
    return NodeState(item["metadata"]["name"], ready=ready["status"] == "True", heard_at=heard.timestamp())
