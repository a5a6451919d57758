"""What the cache knows of namespaces: which have active runs, and the state of their accounts."""

from __future__ import annotations

from apprun_operator.observe.records import Key


class Namespaces:
    """An index of active runs by namespace, so that a check of their accounts walks no other runs."""

    def __init__(self) -> None:
        self._active_runs: dict[str, set[str]] = {}
        self._ready: set[str] = set()
        self._ensured_at: dict[str, float] = {}

    def index_run(self, run: Key, active: bool) -> None:
        """Record whether a run is active: whether its pods need their accounts."""
        if active:
            self._active_runs.setdefault(run.namespace, set()).add(run.name)
        elif run.namespace in self._active_runs:
            self._active_runs[run.namespace].discard(run.name)
            if not self._active_runs[run.namespace]:
                del self._active_runs[run.namespace]

    def set_ready(self, namespace: str, ready: bool | None, now: float) -> None:
        """Record whether the accounts and bindings exist; None if a check failed without showing that."""
        self._ensured_at[namespace] = now
        if ready:
            self._ready.add(namespace)
        elif ready is not None:
            self._ready.discard(namespace)

    def is_ready(self, namespace: str) -> bool:
        """Whether the accounts and bindings of the namespace are known to exist."""
        return namespace in self._ready

    def ensured_at(self, namespace: str) -> float:
        """When the accounts and bindings were last ensured, or an attempt failed; 0 for never."""
        return self._ensured_at.get(namespace, 0.0)

    def ensured_before(self, moment: float) -> list[str]:
        """Namespaces with active runs whose accounts were last ensured before `moment`."""
        return sorted(namespace for namespace in self._active_runs if self.ensured_at(namespace) < moment)
