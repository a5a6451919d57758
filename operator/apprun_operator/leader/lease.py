"""Who leads, by the rules of a Lease: a pure state machine. `leadership` moves bytes for it, the clock is an argument.

Two rules make it safe with clocks that nobody compares. A leader counts its deadline from *before* it sent the renewal;
the others count the Lease's longer duration from when they *saw* it change. So the one ends before the other begins.
A Lease can't fence a write that is on its way already: deterministic names and preconditions do that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, cast

from application_sdk.wire.digest import JSON, JSONObject

SHORTEST_DURATION: Final = 1.0
LONGEST_DURATION: Final = 60.0
"""Seconds. A duration that somebody wrote by hand must not keep everybody out for hours."""
READY_POLL_SECONDS: Final = 0.25
"""Seconds in which somebody who becomes able to work notices it."""
NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Timing:
    """All in seconds. A leader that dies is succeeded within `duration` + `retry` + two calls."""

    duration: float = 10.0
    """How long others leave a Lease alone after they saw it change."""
    deadline: float = 8.0
    """How long a leader acts after its last renewal."""
    retry: float = 2.0
    """Between renewals, and between looks at somebody else's Lease."""
    call: float = 1.5
    """How long one request may take."""

    def __post_init__(self) -> None:
        if not 0 < self.call < self.retry < self.deadline < self.duration <= LONGEST_DURATION:
            raise ValueError(f"{self}: call < retry < deadline < duration <= {LONGEST_DURATION:g} must hold")


@dataclass(frozen=True, slots=True)
class Lease:
    """The Lease as the API server showed it. `renewed` is only compared: it is the time of another machine's clock."""

    holder: str
    renewed: str
    duration: float
    transitions: int
    uid: str
    version: str

    def renewed_since(self, other: Lease) -> bool:
        """Whether its holder wrote it since `other`. Another change, as of a label, is no sign of life."""
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
    """Read the Lease; the answer goes to `saw`."""


@dataclass(frozen=True, slots=True)
class CreateLease:
    """Create the Lease as its holder; the answer goes to `wrote`."""


@dataclass(frozen=True, slots=True)
class UpdateLease:
    """Write oneself down as the holder, if the Lease is still `lease`; the answer goes to `wrote`."""

    lease: Lease
    transitions: int
    acquiring: bool


Action: TypeAlias = Wait | ReadLease | CreateLease | UpdateLease


@dataclass(frozen=True, slots=True)
class Election:
    """What one candidate knows. `identity` must be its own: whoever finds it in the Lease takes over at once.

    All times are of one local clock that never goes back and goes on while the process is stopped.
    """

    identity: str
    timing: Timing = field(default_factory=Timing)
    lease: Lease | None = None
    """As last seen; it is kept when the object vanishes, since its holder may not know yet."""
    changed_at: float = NEVER
    """When its holder was last seen to write it."""
    present: bool = False
    certain: bool = False
    """Whether `lease` is the present one, as far as is known; if not, the next call is a look."""
    unused: bool = False
    """Whether the last call was a look that nothing was made of yet."""
    called_at: float = NEVER
    until: float = NEVER
    """Up to when it leads."""
    term: int = 0
    """Counts the times that it began to lead."""

    def leads(self, now: float) -> bool:
        return now < self.until

    def decide(self, now: float, able: bool = True) -> Action:
        """The next thing to do. Who isn't `able` to work only watches: it neither takes the Lease nor renews it."""
        due = self.called_at + self.timing.retry
        if now < due and not self.unused:
            return Wait(due - now)
        if not able:
            # What the look found is still of use as soon as it is able: at its start, the time of a restart.
            return Wait(min(due - now, READY_POLL_SECONDS)) if now < due else ReadLease()
        if not (self.unused or (self.leads(now) and self.certain)):
            return ReadLease()
        lease = self.lease
        free_at = self._free_at()
        if now < free_at:
            # Look again when it may be free, not only when the next look is due.
            return Wait(max(min(due, free_at) - now, 0.0)) if now < due else ReadLease()
        if lease is None or not self.present:
            return CreateLease()
        acquiring = lease.holder != self.identity
        return UpdateLease(lease, lease.transitions + acquiring, acquiring)

    def before_call(self, now: float) -> Election:
        """A request is about to be sent."""
        return replace(self, called_at=now, unused=False)

    def after_read(self, now: float, lease: Lease | None) -> Election:
        """A look was answered; None: there is no Lease."""
        if lease is None:
            return replace(self, present=False, certain=True, unused=True)
        changed = self.lease is None or lease.renewed_since(self.lease)
        return replace(
            self,
            lease=lease,
            present=True,
            certain=True,
            unused=True,
            changed_at=now if changed else self.changed_at,
            until=self.until if lease.holder == self.identity else NEVER,
        )

    def after_write(self, now: float, lease: Lease) -> Election:
        """A write was accepted: lead until the deadline, counted from when the request was sent."""
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
        """A request wasn't answered, or with an error: whether a write was done is unknown."""
        return replace(self, certain=False, unused=False)

    def after_conflict(self) -> Election:
        """Somebody else wrote, created or deleted the Lease: look at it at once."""
        return replace(self, certain=False, unused=False, called_at=NEVER)

    def released(self) -> Election:
        """Lead no more, from now on."""
        return replace(self, until=NEVER, certain=False, unused=False)

    def _free_at(self) -> float:
        """From when on the Lease may be taken."""
        if self.lease is None or self.lease.holder in ("", self.identity):
            return NEVER
        return self.changed_at + self.lease.duration


def read(raw: Mapping[str, JSON]) -> Lease:
    """A Lease object. What is missing in it counts as empty: then it is free."""
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
    """What to write. `moment` is the time of day, as Kubernetes writes it: for people, and to differ from the last."""
    written: JSONObject = {
        "holderIdentity": election.identity,
        "leaseDurationSeconds": int(election.timing.duration),
        "renewTime": moment,
    }
    if isinstance(action, CreateLease):
        return {**written, "acquireTime": moment, "leaseTransitions": 0}
    if action.acquiring:
        return {**written, "acquireTime": moment, "leaseTransitions": action.transitions}
    return written
