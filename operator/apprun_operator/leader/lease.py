"""Leader election by a Lease, as a pure state machine. `elector` sends its requests; time is an
argument.

Two rules make it safe although no two clocks are compared. A leader counts its deadline from
*before* it sent the renewal. The others count the Lease's longer duration from when they *saw* it
change. So one term ends before the next begins. A Lease can't stop a write that is already on its
way: deterministic names and preconditions do that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, cast

from application_sdk.wire.digest import JSON, JSONObject

SHORTEST_DURATION: Final = 1.0
LONGEST_DURATION: Final = 60.0
"""Seconds. A duration that was written by hand must not keep every replica out for hours."""
READY_POLL_SECONDS: Final = 0.25
"""Seconds within which a replica that becomes able to work acts on it."""
NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds. A leader that dies is replaced within `duration` + `retry` + two calls."""

    duration: float = 10.0
    """How long the others leave a Lease alone after they saw it change."""
    deadline: float = 8.0
    """How long a leader acts after it sent its last renewal."""
    retry: float = 2.0
    """Between two renewals, and between two reads of another replica's Lease."""
    call: float = 1.5
    """Timeout of one request."""

    def __post_init__(self) -> None:
        if not 0 < self.call < self.retry < self.deadline < self.duration <= LONGEST_DURATION:
            raise ValueError(f"{self}: call < retry < deadline < duration <= {LONGEST_DURATION:g} must hold")


@dataclass(frozen=True, slots=True)
class Lease:
    """The Lease as the API server returned it.

    `renewed` is another machine's time: it is only compared for equality.
    """

    holder: str
    renewed: str
    duration: float
    transitions: int
    uid: str
    version: str

    def renewed_since(self, other: Lease) -> bool:
        """Whether its holder wrote it since `other`.

        Another change, such as of a label, isn't a renewal.
        """
        return (self.uid, self.holder, self.renewed, self.transitions) != (
            other.uid,
            other.holder,
            other.renewed,
            other.transitions,
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadLease:
    """Read the Lease; the result goes to `after_read`."""


@dataclass(frozen=True, slots=True)
class CreateLease:
    """Create the Lease as its holder; the result goes to `after_write`."""


@dataclass(frozen=True, slots=True)
class UpdateLease:
    """Become or stay the holder, if the Lease still is `lease`; the result goes to `after_write`."""

    lease: Lease
    transitions: int
    acquiring: bool


Action: TypeAlias = Wait | ReadLease | CreateLease | UpdateLease


@dataclass(frozen=True, slots=True)
class Election:
    """What one candidate knows. `identity` must be its own: a candidate that finds it in the Lease
    takes over at once.

    All times are of one local clock that never goes back, and that runs on while the process is
    stopped.
    """

    identity: str
    timing: Timing = field(default_factory=Timing)
    lease: Lease | None = None
    """As last read. Kept when the object vanishes, since its holder may not know of that yet."""
    changed_at: float = NEVER
    """When it was last seen that its holder had written it."""
    present: bool = False
    certain: bool = False
    """Whether `lease` is the current version, as far as is known; if not, it is read next."""
    fresh_read: bool = False
    """Whether the last call was a read on which no write has been based yet."""
    called_at: float = NEVER
    until: float = NEVER
    """When its leadership ends unless it is renewed."""
    term: int = 0
    """How often it has begun to lead."""

    def leads(self, now: float) -> bool:
        return now < self.until

    def decide(self, now: float, able: bool = True) -> Action:
        """The next action.

        A candidate that isn't `able` to work only reads: it neither takes nor renews the Lease.
        """
        due = self.called_at + self.timing.retry
        if now < due and not self.fresh_read:
            return Wait(due - now)
        if not able:
            # The read stays usable for when it becomes able: that saves a read when a replica
            # starts.
            return Wait(min(due - now, READY_POLL_SECONDS)) if now < due else ReadLease()
        if not (self.fresh_read or (self.leads(now) and self.certain)):
            return ReadLease()
        lease = self.lease
        free_at = self._free_at()
        if now < free_at:
            # Act when the Lease may be free, not only when the next read is due.
            return Wait(max(min(due, free_at) - now, 0.0)) if now < due else ReadLease()
        if lease is None or not self.present:
            return CreateLease()
        acquiring = lease.holder != self.identity
        return UpdateLease(lease, lease.transitions + acquiring, acquiring)

    def before_call(self, now: float) -> Election:
        """The state in which a request is sent."""
        return replace(self, called_at=now, fresh_read=False)

    def after_read(self, now: float, lease: Lease | None) -> Election:
        """The state after the Lease was read; None: there is none."""
        if lease is None:
            return replace(self, present=False, certain=True, fresh_read=True)
        changed = self.lease is None or lease.renewed_since(self.lease)
        return replace(
            self,
            lease=lease,
            present=True,
            certain=True,
            fresh_read=True,
            changed_at=now if changed else self.changed_at,
            until=self.until if lease.holder == self.identity else NEVER,
        )

    def after_write(self, now: float, lease: Lease) -> Election:
        """The state after a write was accepted: lead until the deadline, counted from when it was
        sent."""
        continued = self.leads(now)
        return replace(
            self,
            lease=lease,
            present=True,
            certain=True,
            changed_at=now,
            until=self.called_at + self.timing.deadline,
            term=self.term if continued else self.term + 1,
        )

    def after_failure(self) -> Election:
        """The state after a request without a usable response: whether a write was done is unknown."""
        return replace(self, certain=False, fresh_read=False)

    def after_conflict(self) -> Election:
        """The state after somebody else wrote, created or deleted the Lease: it is read at once."""
        return replace(self, certain=False, fresh_read=False, called_at=NEVER)

    def released(self) -> Election:
        """The state of a candidate that has stopped leading."""
        return replace(self, until=NEVER, certain=False, fresh_read=False)

    def _free_at(self) -> float:
        """The time from which the Lease may be taken."""
        if self.lease is None or self.lease.holder in ("", self.identity):
            return NEVER
        return self.changed_at + self.lease.duration


def read(raw: Mapping[str, JSON]) -> Lease:
    """Parse a Lease object. A missing field counts as empty, and a Lease without a holder is free."""
    meta = cast("JSONObject", raw["metadata"])
    spec = cast("JSONObject", raw.get("spec") or {})
    duration = float(cast("int", spec.get("leaseDurationSeconds") or 0))
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        renewed=str(spec.get("renewTime") or ""),
        duration=min(max(duration, SHORTEST_DURATION), LONGEST_DURATION),
        transitions=int(cast("int", spec.get("leaseTransitions") or 0)),
        uid=str(meta["uid"]),
        version=str(meta["resourceVersion"]),
    )


def spec(election: Election, action: CreateLease | UpdateLease, moment: str) -> JSONObject:
    """The spec to write.

    `moment` is the time of day in RFC 3339: for people, and to differ from the last one.
    """
    fields: JSONObject = {
        "holderIdentity": election.identity,
        "leaseDurationSeconds": int(election.timing.duration),
        "renewTime": moment,
    }
    if isinstance(action, CreateLease):
        return {**fields, "acquireTime": moment, "leaseTransitions": 0}
    if action.acquiring:
        return {**fields, "acquireTime": moment, "leaseTransitions": action.transitions}
    return fields
