"""People with few rights at a cluster's command line."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml
from tests.support.bed import Bed
from tests.support.kube import CORE
from tests.support.terminal import Terminal

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def person(apprun: Terminal, bed: Bed, name: str, role: str | None) -> Terminal:
    """Somebody with this ClusterRole in the test's namespace, and a kubeconfig with nothing but a token."""
    core, rbac = f"{CORE}/namespaces/{apprun.namespace}", f"{RBAC}/namespaces/{apprun.namespace}"
    bed.kube.create(f"{core}/serviceaccounts", {"metadata": {"name": name}})
    if role:
        subject = {"kind": "ServiceAccount", "name": name, "namespace": apprun.namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        bed.kube.create(
            f"{rbac}/rolebindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        )
    token = bed.kube.create(f"{core}/serviceaccounts/{name}/token", {"spec": {"expirationSeconds": 3600}})
    config: Any = yaml.safe_load(apprun.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token["status"]["token"]}
    cluster = config["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        authority = Path(cluster.pop("certificate-authority")).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    kubeconfig = apprun.folder / f"kubeconfig-{name}"
    kubeconfig.write_text(yaml.safe_dump(config))
    return Terminal(apprun.folder, kubeconfig, apprun.namespace, apprun.path)
