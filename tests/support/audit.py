"""The API server's own record of who asked for what, beside what roles grant: rights that nobody uses are to go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.layout import cluster_dir
from tests.support.bed import ROOT
from tests.support.kube import Kube

TESTS_AGENT = "apprun-tests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource, as RBAC names both."""

    resource: str
    verb: str


def options(cluster: str) -> tuple[str, ...]:
    """Of `cluster up`: have the API server keep the record."""
    flags = {"audit-policy-file": ROOT / "tests/support/audit-policy.yaml", "audit-log-path": _log(cluster)}
    return tuple(part for flag, value in flags.items() for part in ("--set", f"kube-apiserver.{flag}={value}"))


def asked(cluster: str, user: str) -> dict[Right, bool]:
    """What the service account `namespace:name` asked for, and whether RBAC ever let it."""
    answers: dict[Right, bool] = {}
    with _log(cluster).open() as lines:
        for line in lines:
            if f'"system:serviceaccount:{user}"' not in line or not line.endswith("\n"):
                continue
            event = json.loads(line)
            if "objectRef" not in event:  # neither object nor kind: discovery
                continue
            about = event["objectRef"]
            resource = "/".join(filter(None, (about.get("apiGroup"), about["resource"], about.get("subresource"))))
            right = Right(resource, event["verb"])
            allowed = event["annotations"].get("authorization.k8s.io/decision") == "allow"
            if not allowed and str(event.get("userAgent", "")).startswith(TESTS_AGENT):
                continue  # a test has tried, with the account's token, what that must not be allowed
            answers[right] = answers.get(right, False) or allowed
    return answers


def granted(kube: Kube, *roles: str) -> set[Right]:
    """What roles of the cluster grant; each is the end of a path, as in `clusterroles/apprun-driver`."""
    rules = [rule for role in roles for rule in kube.get(f"{RBAC}/{role}")["rules"]]
    return {
        Right("/".join(filter(None, (group, resource))), verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _log(cluster: str) -> Path:
    return cluster_dir(cluster).path / "audit.log"
