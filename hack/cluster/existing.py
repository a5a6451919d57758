"""``CLUSTER=existing``: the commands on a cluster that somebody else made (kind, k3d, a real one).

Nothing is made, changed or removed then; ``up`` checks that the current kubectl context answers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.shell import run


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for the current kubectl context; raises ClusterError for any other wish."""
    choice = environment.get("CLUSTER", "")
    if choice not in ("", "existing"):
        raise ClusterError(
            f"CLUSTER={choice} is not known", "leave it out for a cluster of our own, or set CLUSTER=existing"
        )
    return choice == "existing"


def describe() -> str:
    """The current context and its nodes; raises ClusterError when it doesn't answer."""
    if shutil.which("kubectl") is None:
        raise ClusterError(
            "CLUSTER=existing needs kubectl, and there is none on PATH", "install it, or leave CLUSTER out"
        )
    try:
        context = run(["kubectl", "config", "current-context"]).strip()
        nodes = json.loads(run(["kubectl", "get", "nodes", "--request-timeout=10s", "--output=json"]))["items"]
    except ClusterError as error:
        raise ClusterError(
            f"CLUSTER=existing, but the current kubectl context does not answer:\n{error.problem}",
            "choose one with: kubectl config use-context NAME",
        ) from error
    return f"using the existing cluster {context!r} ({len(nodes)} nodes); nothing was made and nothing will be removed"


def kubeconfig() -> str:
    """The kubeconfig in use."""
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def refuse(command: str) -> ClusterError:
    """The refusal of a command that only makes sense for a cluster of our own."""
    remedies = {
        "load": "push the image to a registry that the cluster can reach, or use: kind load docker-image NAME",
        "status": "ask it directly: kubectl get nodes",
    }
    fault = "this changes machines, which is only safe on a cluster that this program made: leave CLUSTER out"
    return ClusterError(f"{command} does not work with CLUSTER=existing", remedies.get(command, fault))
