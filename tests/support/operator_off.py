"""The operator, taken away from the cluster for a while."""

from __future__ import annotations

from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import CORE, eventually

PODS = f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector=app.kubernetes.io/component=operator"


class OperatorOff:
    """The operator's replicas, to be taken away and brought back."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed

    def begin(self) -> None:
        self._bed.terminations.all_removed("the operator is scaled to nothing")
        self._scale(0)
        eventually("no operator is left", lambda: not self._bed.kube.items(PODS) or None)

    def end(self) -> None:
        self._scale(2)
        self._bed.run(self._bed.kubectl, "-n", SYSTEM_NAMESPACE, "rollout", "status", "deployment/apprun")

    def _scale(self, replicas: int) -> None:
        where = ("-n", SYSTEM_NAMESPACE, "deployment/apprun", f"--replicas={replicas}")
        self._bed.run(self._bed.kubectl, "scale", *where)
