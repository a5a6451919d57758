"""API writes by verb and resource, as the API server counts them in its own metrics."""

from __future__ import annotations

import re
from collections import Counter

from tests.support.kube import Kube

WRITES = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})
OWN_RESOURCES = frozenset({"appruns", "apptasks", "appledgers", "apps", "appworkers"})
LABEL = re.compile(r'(\w+)="([^"]*)"')


def snapshot(kube: Kube) -> Counter[tuple[str, str]]:
    """Accepted writes so far, by (verb, resource[/subresource])."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in kube.raw("/metrics").splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(LABEL.findall(line))
        if labels["verb"] in WRITES and labels["code"].startswith("2"):
            resource = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
            counts[labels["verb"], resource] += int(float(line.rsplit(" ", 1)[1]))
    return counts


def own(writes: Counter[tuple[str, str]]) -> int:
    """Writes by driver, task pods and operator: all to our resources, pods created, and half of the pods' deletions.

    The other half is kubelet's: it confirms each deletion with a second DELETE once the containers are gone. The run
    itself is created by its user.
    """
    own_writes = sum(n for (_, resource), n in writes.items() if resource.split("/")[0] in OWN_RESOURCES)
    return own_writes - writes["POST", "appruns"] + writes["POST", "pods"] + writes["DELETE", "pods"] // 2


def calls(writes: Counter[tuple[str, str]]) -> int:
    """Task calls that were made, the driver among them: it is an AppTask with a pod as well."""
    return writes["POST", "apptasks"]
