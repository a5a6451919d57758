"""Campaigns for the Lease, in a thread with a loop and a connection of its own: a busy main loop is no lost leadership.

`main` makes it, `Terms` asks it. The thread replaces one frozen `Election` by the next; others only read the newest and
compare it with the clock. So nobody has to be told that a deadline has passed, least of all a process that was stopped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from application_sdk.wire.digest import JSON, JSONObject
from apprun_operator.kube.client import Client, KubeApi
from apprun_operator.kube.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from apprun_operator.kube.resources import LEASES
from apprun_operator.leader import lease
from apprun_operator.leader.lease import CreateLease, Election, ReadLease, UpdateLease, Wait
from apprun_operator.observe.times import rfc3339

logger = logging.getLogger(__name__)

BEAT_SECONDS: Final = 15.0
"""Whose main loop is silent for longer doesn't renew: it wouldn't work either."""
THREAD_SILENCE: Final = 60.0
NEVER: Final = lease.NEVER


def local_clock() -> float:
    """Seconds of a clock that nobody sets, and that counts the time asleep too where the system has such a one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Leader(Protocol):
    """What is asked of leadership."""

    def heartbeat(self) -> int:
        """Say that the caller is ready to work; the present term, 0 for somebody who doesn't lead now."""
        ...

    def term(self) -> int:
        """The present term; 0 for somebody who doesn't lead now."""
        ...


class AlwaysLeader:
    """Leads always: for an operator of which there is only one, outside of a cluster."""

    def heartbeat(self) -> int:
        return 1

    def term(self) -> int:
        return 1


class LeaderElector:
    """One candidate for the Lease `where`: namespace and name. Any thread may call `attend` and `term`. A Lease that it
    creates belongs to `owner`, if there is one, and goes with it."""

    def __init__(
        self,
        where: tuple[str, str],
        election: Election,
        clock: Callable[[], float],
        wall: Callable[[], float],
        owner: JSONObject | None = None,
    ) -> None:
        self._namespace, self._name = where
        self._path = LEASES.path(*where)
        self._election = election
        self._clock = clock
        self._wall = wall
        self._owners: list[JSON] = [owner] if owner else []
        self._last_heartbeat = NEVER
        self._told = ""
        self.last_step_at = clock()
        """When its loop last did something: a thread that hangs is to be noticed."""

    def heartbeat(self) -> int:
        self._last_heartbeat = self._clock()
        return self.term()

    def term(self) -> int:
        election = self._election
        return election.term if election.leads(self._clock()) else 0

    @property
    def has_read_lease(self) -> bool:
        """Whether the Lease could be read: else this replica could never lead."""
        return self._election.lease is not None

    async def run(self, api: KubeApi, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Until cancelled. No answer of the API server ends it."""
        while True:
            self.last_step_at = now = self._clock()
            action = self._election.decide(now, able=now - self._last_heartbeat < BEAT_SECONDS)
            if isinstance(action, Wait):
                await sleep(action.seconds)
            else:
                await self._call(api, action)
            self._tell()

    async def release(self, api: KubeApi) -> None:
        """Lead no more, and let the next one begin at once. Call it when `run` has ended, and all work has."""
        self._election = self._election.released()
        try:
            async with asyncio.timeout(2 * self._election.timing.call):
                # Read first: whether the last renewal was done may be unknown.
                found = lease.read(await api.get(self._path))
                if found.holder == self._election.identity:
                    metadata: JSONObject = {"uid": found.uid, "resourceVersion": found.version}
                    written: JSONObject = {"holderIdentity": "", "renewTime": rfc3339(self._wall())}
                    await api.patch(self._path, {"metadata": metadata, "spec": written})
                    logger.info("gave the lease %s/%s back", self._namespace, self._name)
        except (ApiError, TimeoutError) as error:
            logger.warning("the lease %s/%s runs out by itself: %s", self._namespace, self._name, error)

    async def _call(self, api: KubeApi, action: ReadLease | CreateLease | UpdateLease) -> None:
        self._election = self._election.before_call(self._clock())
        try:
            async with asyncio.timeout(self._election.timing.call):
                found = lease.read(await self._send(api, action))
        except (AlreadyExistsError, ConflictError):
            self._election = self._election.after_conflict()
        except NotFoundError:
            if isinstance(action, ReadLease):
                self._election = self._election.after_read(self._clock(), None)
            else:
                self._election = self._election.after_conflict()
        except (ApiError, TimeoutError) as error:
            self._election = self._election.after_failure()
            logger.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no answer in time")
        except Exception:  # whatever it is: a thread that ended could never lead again
            self._election = self._election.after_failure()
            logger.exception("lease %s/%s: unexpected", self._namespace, self._name)
        else:
            after_answer = self._election.after_read if isinstance(action, ReadLease) else self._election.after_write
            self._election = after_answer(self._clock(), found)

    async def _send(self, api: KubeApi, action: ReadLease | CreateLease | UpdateLease) -> JSONObject:
        if isinstance(action, ReadLease):
            return await api.get(self._path)
        written = lease.spec(self._election, action, rfc3339(self._wall()))
        if isinstance(action, CreateLease):
            metadata: JSONObject = {"name": self._name, "namespace": self._namespace, "ownerReferences": self._owners}
            body: JSONObject = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            return await api.create(LEASES.path(self._namespace), {**body, "spec": written})
        metadata = {"uid": action.lease.uid, "resourceVersion": action.lease.version}
        return await api.patch(self._path, {"metadata": metadata, "spec": written})

    def _tell(self) -> None:
        """Log who leads, when that has changed."""
        found, term = self._election.lease, self.term()
        news = (
            f"leading, term {term}"
            if term
            else f"standing by; the lease is {found.holder or 'nobody'}'s"
            if found
            else ""
        )
        if news and news != self._told:
            self._told = news
            logger.info("%s", news)


class LeaderElectionThread:
    """Runs a campaign beside the main loop. `connect` is called in its thread."""

    def __init__(self, elector: LeaderElector, connect: Callable[[], Client]) -> None:
        self.elector = elector
        self._connect = connect
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and local_clock() - self.elector.last_step_at < THREAD_SILENCE

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Resign, and wait that long for it. All work must have ended before."""
        self._asked.set()
        loop, running = self._loop, self._running
        if loop is not None and running is not None:
            try:
                loop.call_soon_threadsafe(running.cancel)
            except RuntimeError:  # it has ended already
                pass
        self._thread.join(seconds)

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        client = self._connect()
        try:
            self._running = asyncio.create_task(self.elector.run(client))
            self._loop = asyncio.get_running_loop()
            if self._asked.is_set():
                self._running.cancel()
            await asyncio.wait({self._running})
            await self.elector.release(client)
        finally:
            await client.close()
