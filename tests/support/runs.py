"""Apply runs of a test app in a namespace, and read what became of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.kube import APPRUN, CORE, Kube, Object, eventually

from application_sdk.wire import names

APPS = Path(__file__).resolve().parents[1] / "cluster" / "apps"


def source(config_map: str) -> Object:
    """`App.spec.source` for the files of a ConfigMap."""
    return {"configMap": {"name": config_map}}


@dataclass(frozen=True)
class Runs:
    """The runs of one namespace."""

    kube: Kube
    namespace: str

    @property
    def api(self) -> str:
        return f"{APPRUN}/namespaces/{self.namespace}"

    @property
    def core(self) -> str:
        return f"{CORE}/namespaces/{self.namespace}"

    def upload(self, name: str, text: str | None = None) -> None:
        """A ConfigMap `name` with `app.py`: the text, or the file `tests/cluster/apps/<name>.py`."""
        code = text if text is not None else (APPS / f"{name}.py").read_text()
        self.kube.delete(f"{self.core}/configmaps/{name}")
        self.kube.create(f"{self.core}/configmaps", {"metadata": {"name": name}, "data": {"app.py": code}})

    def app(self, name: str, entry: str, **spec: Any) -> None:
        self.kube.create(
            f"{self.api}/apps",
            {
                "apiVersion": "apprun.dev/v1alpha1",
                "kind": "App",
                "metadata": {"name": name},
                "spec": {"entry": entry, "source": source(name), **spec},
            },
        )

    def until_inspected(self, app: str) -> None:
        """Wait until the App's code was looked at, and nothing is left of that."""

        def over() -> bool | None:
            inspection = self.kube.get(f"{self.api}/apps/{app}").get("status", {}).get("inspection")
            tasks = self.kube.items(f"{self.api}/apptasks?labelSelector=apprun.dev/app={app}")
            return (inspection is not None and not tasks) or None

        eventually(f"App {app} is inspected", over, 120)

    def start(self, name: str, app: str, input: dict[str, Any] | None = None, **spec: Any) -> None:
        self.kube.create(
            f"{self.api}/appruns",
            {
                "apiVersion": "apprun.dev/v1alpha1",
                "kind": "AppRun",
                "metadata": {"name": name},
                "spec": {"appRef": {"name": app}, "input": input or {}, **spec},
            },
        )

    def get(self, run: str) -> Object:
        return self.kube.get(f"{self.api}/appruns/{run}")

    def status(self, run: str) -> Object:
        status: Object = self.get(run).get("status", {})
        return status

    def driver_pod(self, run: str, attempt: int = 1) -> str:
        """Name of the pod of a driver's attempt."""
        return names.pod_name(names.driver_task_name(run), attempt, self.get(run)["metadata"]["uid"])

    def tasks(self, run: str, role: str = "task") -> list[Object]:
        return self.kube.items(f"{self.api}/apptasks?labelSelector=apprun.dev/run={run},apprun.dev/role={role}")

    def pods(self, run: str) -> list[Object]:
        return self.kube.items(f"{self.core}/pods?labelSelector=apprun.dev/run={run}")

    def checkpoints(self, run: str) -> list[Object]:
        """The whole ledger, pages first."""
        status = self.status(run)
        entries: list[Object] = []
        for page in range(status.get("ledgerPages", 0)):
            entries += self.kube.get(f"{self.api}/appledgers/{run}-{page}")["spec"]["checkpoints"]
        return entries + list(status.get("checkpoints", []))

    def condition(self, run: str, type_: str) -> Object | None:
        return next((c for c in self.status(run).get("conditions", []) if c["type"] == type_), None)

    def until_phase(self, run: str, *phases: str, seconds: float = 120) -> Object:
        """Wait for one of the phases; the status then."""

        def reached() -> Object | None:
            status = self.status(run)
            return status if status.get("phase") in phases else None

        return eventually(f"{run} reaches {' or '.join(phases)}", reached, seconds)

    def until_no_pods(self, run: str, seconds: float = 60) -> None:
        eventually(f"no pod of {run} is left", lambda: not self.pods(run) or None, seconds)

    def until_committed(self, run: str, at_least: int, seconds: float = 120) -> list[Object]:
        def committed() -> list[Object] | None:
            checkpoints = self.checkpoints(run)
            return checkpoints if len(checkpoints) >= at_least else None

        return eventually(f"{run} has {at_least} checkpoints", committed, seconds)

    def witnesses(self) -> Counter[str]:
        """How often each task body ran to its end, by key, counted outside the ledger (see apps/probe.py)."""
        maps = self.kube.items(f"{self.core}/configmaps?labelSelector=probe.apprun.dev/key")
        return Counter(item["metadata"]["labels"]["probe.apprun.dev/key"] for item in maps)
