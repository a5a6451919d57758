"""The rules of leadership, step by step and without a clock: `now` is a number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apprun_operator.leader import lease
from apprun_operator.leader.lease import CreateLease, Election, Lease, ReadLease, Timing, UpdateLease, Wait

TIMING = Timing(duration=10, deadline=8, retry=2, call=1.5)
THEIRS = Lease(holder="other", renewed="12:00:00", duration=10, transitions=3, uid="u", version="7")
OURS = replace(THEIRS, holder="me")
FREE = replace(THEIRS, holder="")


def candidate() -> Election:
    return Election("me", TIMING)


def after_read(election: Election, now: float, found: Lease | None) -> Election:
    return election.before_call(now).after_read(now, found)


def leader(since: float = 100.0) -> Election:
    """Took a free lease at `since`."""
    return after_read(candidate(), since, FREE).before_call(since).after_write(since, OURS)


def test_looks_before_it_does_anything() -> None:
    assert candidate().decide(100) == ReadLease()


def test_creates_the_lease_where_there_is_none() -> None:
    assert after_read(candidate(), 100, None).decide(100) == CreateLease()


def test_takes_a_free_lease_at_once() -> None:
    assert after_read(candidate(), 100, FREE).decide(100) == UpdateLease(FREE, transitions=4, acquiring=True)


def test_takes_its_own_lease_back_at_once() -> None:
    """The container was restarted in its pod: whoever held the lease under this name is dead."""
    assert after_read(candidate(), 100, OURS).decide(100) == UpdateLease(OURS, transitions=3, acquiring=False)


def test_leaves_a_lease_alone_for_its_duration_after_a_change() -> None:
    election = after_read(candidate(), 100, THEIRS)
    for now in (102.0, 104.0, 106.0, 108.0, 109.9):
        assert not isinstance(election.decide(now), CreateLease | UpdateLease)
        election = after_read(election, now, THEIRS)
    election = after_read(election, 110.0, THEIRS)
    assert isinstance(election.decide(110.0), UpdateLease)


def test_counts_anew_whenever_the_holder_has_renewed() -> None:
    election = after_read(after_read(candidate(), 100, THEIRS), 109, replace(THEIRS, renewed="12:00:09", version="8"))
    assert not isinstance(election.decide(118.9), CreateLease | UpdateLease)
    assert isinstance(after_read(election, 119, election.lease).decide(119), UpdateLease)


def test_a_change_that_is_no_renewal_keeps_nobody_out() -> None:
    """Somebody who labels the lease again and again would prevent any failover."""
    election = after_read(after_read(candidate(), 100, THEIRS), 109, replace(THEIRS, version="8"))
    assert isinstance(after_read(election, 110, replace(THEIRS, version="9")).decide(110), UpdateLease)


def test_the_holders_time_of_day_means_nothing() -> None:
    for renewed in ("1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", "nonsense", ""):
        election = after_read(candidate(), 100, replace(THEIRS, renewed=renewed))
        assert not isinstance(election.decide(109), CreateLease | UpdateLease)
        assert isinstance(after_read(election, 110, election.lease).decide(110), UpdateLease)


def test_waits_for_the_duration_that_the_holder_wrote() -> None:
    """The holder may be of a version with other times."""
    found = replace(THEIRS, duration=30)
    election = after_read(after_read(candidate(), 100, found), 129, found)
    assert not isinstance(election.decide(129), CreateLease | UpdateLease)


@pytest.mark.parametrize(("written", "counted"), [(10, 10), (0, 1), (-5, 1), (10**9, 60)])
def test_a_duration_written_by_hand_is_bounded(written: int, counted: float) -> None:
    metadata = {"uid": "u", "resourceVersion": "7"}
    assert lease.read({"metadata": metadata, "spec": {"leaseDurationSeconds": written}}).duration == counted


def test_a_lease_with_nothing_in_it_is_free() -> None:
    found = lease.read({"metadata": {"uid": "u", "resourceVersion": "7"}})
    assert isinstance(after_read(candidate(), 100, found).decide(100), UpdateLease)


def test_looks_when_the_lease_may_be_free_and_not_later() -> None:
    election = after_read(after_read(candidate(), 100, THEIRS), 109, THEIRS)
    assert election.decide(109) == Wait(1)


def test_deadline_counts_from_when_the_renewal_was_sent() -> None:
    election = after_read(candidate(), 100, FREE).before_call(100).after_write(101.4, OURS)
    assert election.leads(107.9)
    assert not election.leads(108)


def test_an_answer_that_comes_after_the_deadline_makes_no_leader() -> None:
    """It was stopped while the request was under way."""
    election = after_read(candidate(), 100, FREE).before_call(100).after_write(120, OURS)
    assert not election.leads(120)
    assert election.decide(120) == ReadLease()


def test_renews_in_time_without_looking_first() -> None:
    election = leader(100)
    assert election.decide(101) == Wait(1)
    assert election.decide(102) == UpdateLease(OURS, transitions=3, acquiring=False)


def test_renewals_make_one_term() -> None:
    election = leader(100)
    assert election.before_call(102).after_write(102, OURS).term == election.term == 1


def test_after_a_lapse_it_looks_first_and_a_new_term_begins() -> None:
    election = leader(100)
    assert election.decide(120) == ReadLease()
    election = after_read(election, 120, OURS)
    assert isinstance(election.decide(120), UpdateLease)
    assert election.before_call(120).after_write(120, OURS).term == 2


def test_failed_renewal_is_followed_by_a_read() -> None:
    election = leader(100).before_call(102).after_failure()
    assert election.decide(103) == Wait(1)
    assert election.decide(104) == ReadLease()
    assert election.leads(104)
    assert isinstance(after_read(election, 104, replace(OURS, version="8")).decide(104), UpdateLease)


def test_a_conflict_is_looked_into_at_once() -> None:
    assert leader(100).before_call(102).after_conflict().decide(102) == ReadLease()


def test_leads_no_more_as_soon_as_it_sees_another_holder() -> None:
    assert not after_read(leader(100), 102, THEIRS).leads(102)


def test_makes_a_lease_anew_that_vanished_under_it() -> None:
    election = after_read(leader(100), 102, None)
    assert election.leads(102)
    assert election.decide(102) == CreateLease()


def test_a_standby_waits_the_duration_out_when_the_lease_vanishes() -> None:
    """Its holder doesn't know yet, and acts."""
    election = after_read(after_read(candidate(), 100, THEIRS), 104, None)
    assert not isinstance(election.decide(104), CreateLease)
    assert not isinstance(election.decide(109.9), CreateLease)
    assert after_read(election, 110, None).decide(110) == CreateLease()


def test_who_is_not_able_to_work_only_watches() -> None:
    assert candidate().decide(100, able=False) == ReadLease()
    for found in (None, FREE, OURS):
        election = after_read(candidate(), 100, found)
        assert election.decide(100, able=False) == Wait(lease.READY_POLL_SECONDS)
        assert election.decide(102, able=False) == ReadLease()


def test_who_becomes_able_after_a_look_acts_on_it_at_once() -> None:
    assert isinstance(after_read(candidate(), 100, OURS).decide(100 + lease.READY_POLL_SECONDS), UpdateLease)


def test_a_leader_that_is_not_able_to_work_does_not_renew() -> None:
    assert leader(100).decide(102, able=False) == ReadLease()


def test_who_resigned_does_not_lead() -> None:
    election = leader(100).released()
    assert not election.leads(100.1)
    assert election.decide(103) == ReadLease()


@pytest.mark.parametrize(
    "timing",
    [
        {"deadline": 10.0},  # two could lead
        {"call": 2.0},  # a hanging call would cost a renewal
        {"retry": 8.0},  # it would lapse between renewals
        {"duration": 61.0},  # others count no longer than this
    ],
)
def test_times_that_do_not_fit_are_refused(timing: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Timing(**timing)


def test_a_crash_is_survived_within_15_seconds() -> None:
    timing = Timing()
    assert timing.duration + timing.retry + 2 * timing.call <= 15
