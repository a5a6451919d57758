"""Leader election over a Lease, in a thread with an event loop and a connection of its own.

A busy main loop therefore loses no leadership. `main` makes the elector, `LeaderGate` asks it. The
thread replaces one frozen `Election` by the next; every other thread only reads the newest and
compares it with the clock. No notification is needed when a deadline passes, and none could reach a
process that was stopped.
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

HEARTBEAT_TIMEOUT: Final = 15.0
"""Seconds. A replica whose main loop is silent for longer doesn't renew: it does no work either."""
THREAD_TIMEOUT: Final = 60.0
"""Seconds without a step after which the thread counts as hung."""
NEVER: Final = lease.NEVER


def local_clock() -> float:
    """Seconds of a monotonic clock, one that counts the machine's sleep where the system has it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Leadership(Protocol):
    """Whether this replica leads."""

    def heartbeat(self) -> int:
        """Report that the caller can work, and return the current term; 0 while it doesn't lead."""
        ...

    def term(self) -> int:
        """The current term; 0 while this replica doesn't lead."""
        ...


class AlwaysLeader:
    """Always leads: for the only operator there is, outside of a cluster."""

    def heartbeat(self) -> int:
        return 1

    def term(self) -> int:
        return 1


class LeaderElector:
    """One candidate for a Lease. Any thread may call `heartbeat` and `term`.

    Args:
        lease_name: Namespace and name of the Lease.
        election: The state to start from; its identity must be this replica's own.
        clock: Returns seconds of a monotonic clock.
        wall_clock: Returns the time of day, which is only written down for people.
        owner: ownerReference of a Lease that has to be created, so that it is collected with its
            owner.
    """

    def __init__(
        self,
        lease_name: tuple[str, str],
        election: Election,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        owner: JSONObject | None = None,
    ) -> None:
        self._namespace, self._name = lease_name
        self._path = LEASES.path(*lease_name)
        self._election = election
        self._clock = clock
        self._wall_clock = wall_clock
        self._owners: list[JSON] = [owner] if owner else []
        self._last_heartbeat = NEVER
        self._logged_state = ""
        self.last_step_at = clock()
        """When the loop took its last step, by `clock`: shows a thread that hangs."""

    def heartbeat(self) -> int:
        self._last_heartbeat = self._clock()
        return self.term()

    def term(self) -> int:
        election = self._election
        return election.term if election.leads(self._clock()) else 0

    @property
    def has_read_lease(self) -> bool:
        """Whether the Lease could be read at least once. Without that this replica can never lead."""
        return self._election.lease is not None

    async def run(self, api: KubeApi, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take part in the election until cancelled. No response of the API server ends it."""
        while True:
            self.last_step_at = now = self._clock()
            action = self._election.decide(now, able=now - self._last_heartbeat < HEARTBEAT_TIMEOUT)
            if isinstance(action, Wait):
                await sleep(action.seconds)
            else:
                await self._call(api, action)
            self._log_change()

    async def release(self, api: KubeApi) -> None:
        """Stop leading, and empty the Lease so that the next replica takes over at once.

        Call it only when `run` and all work have ended: the next leader may write from here on.
        """
        self._election = self._election.released()
        try:
            async with asyncio.timeout(2 * self._election.timing.call):
                # The last renewal may have been cut off, with its result unknown. So the Lease is
                # read first, and emptied only in the version that names this replica.
                current = lease.read(await api.get(self._path))
                if current.holder == self._election.identity:
                    metadata: JSONObject = {"uid": current.uid, "resourceVersion": current.version}
                    released: JSONObject = {"holderIdentity": "", "renewTime": rfc3339(self._wall_clock())}
                    await api.patch(self._path, {"metadata": metadata, "spec": released})
                    logger.info("released the lease %s/%s", self._namespace, self._name)
        except (ApiError, TimeoutError) as error:
            # Nothing is lost but time: the others take over when its duration is over.
            logger.warning("lease %s/%s wasn't released, it expires by itself: %s", self._namespace, self._name, error)

    async def _call(self, api: KubeApi, action: ReadLease | CreateLease | UpdateLease) -> None:
        # The time of sending is noted first. The deadline counts from it, so a slow response makes
        # the term shorter, never longer than the others wait.
        self._election = self._election.before_call(self._clock())
        try:
            async with asyncio.timeout(self._election.timing.call):
                current = lease.read(await self._send(api, action))
        except (AlreadyExistsError, ConflictError):
            self._election = self._election.after_conflict()
        except NotFoundError:
            if isinstance(action, ReadLease):
                self._election = self._election.after_read(self._clock(), None)
            else:
                self._election = self._election.after_conflict()
        except (ApiError, TimeoutError) as error:
            self._election = self._election.after_failure()
            logger.warning("lease %s/%s: %s", self._namespace, self._name, str(error) or "no response in time")
        except Exception:  # whatever it is: without this thread the replica could never lead again
            self._election = self._election.after_failure()
            logger.exception("lease %s/%s: unexpected error", self._namespace, self._name)
        else:
            after_answer = self._election.after_read if isinstance(action, ReadLease) else self._election.after_write
            self._election = after_answer(self._clock(), current)

    async def _send(self, api: KubeApi, action: ReadLease | CreateLease | UpdateLease) -> JSONObject:
        if isinstance(action, ReadLease):
            return await api.get(self._path)
        spec = lease.spec(self._election, action, rfc3339(self._wall_clock()))
        if isinstance(action, CreateLease):
            metadata: JSONObject = {"name": self._name, "namespace": self._namespace, "ownerReferences": self._owners}
            body: JSONObject = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
            return await api.create(LEASES.path(self._namespace), {**body, "spec": spec})
        metadata = {"uid": action.lease.uid, "resourceVersion": action.lease.version}
        return await api.patch(self._path, {"metadata": metadata, "spec": spec})

    def _log_change(self) -> None:
        """Log who leads, when that has changed."""
        current, term = self._election.lease, self.term()
        state = ""
        if term:
            state = f"leading, term {term}"
        elif current is not None:
            state = f"standing by; the lease is held by {current.holder or 'nobody'}"
        if state and state != self._logged_state:
            self._logged_state = state
            logger.info("%s", state)


class LeaderElectionThread:
    """Runs an elector in a thread. `connect` is called in that thread."""

    def __init__(self, elector: LeaderElector, connect: Callable[[], Client]) -> None:
        self.elector = elector
        self._connect = connect
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and local_clock() - self.elector.last_step_at < THREAD_TIMEOUT

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Release the Lease, and wait up to `seconds` for it. All work must have ended before."""
        self._stopping.set()
        loop, running = self._loop, self._running
        if loop is not None and running is not None:
            try:
                loop.call_soon_threadsafe(running.cancel)
            except RuntimeError:  # the thread has ended already
                pass
        self._thread.join(seconds)

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        client = self._connect()
        try:
            self._running = asyncio.create_task(self.elector.run(client))
            self._loop = asyncio.get_running_loop()
            if self._stopping.is_set():
                self._running.cancel()
            await asyncio.wait({self._running})
            await self.elector.release(client)
        finally:
            await client.close()
