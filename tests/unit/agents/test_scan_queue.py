"""Which scan job is next, and up to where a partition may be committed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.scan_queue import Lane, QueuedJob, ScanQueue


def queue(*lanes: tuple[str, int]) -> ScanQueue:
    return ScanQueue([Lane(*lane) for lane in lanes or (("critical", 3), ("bulk", 2))])


def job(topic: str, offset: int, *, due: float = 0.0, partition: int = 0) -> QueuedJob:
    message: Any = None
    return QueuedJob(message, (topic, partition, offset), due)


def test_the_urgent_lane_goes_first_and_keeps_slots_for_itself() -> None:
    jobs = queue()
    for offset in range(3):
        jobs.add(job("bulk", offset))
    jobs.add(job("critical", 0))
    taken = [jobs.take(1.0, running) for running in (0, 1, 2)]
    assert [one.place if one else None for one in taken] == [("critical", 0, 0), ("bulk", 0, 0), None]
    jobs.add(job("critical", 1))
    assert jobs.take(1.0, 2) is not None
    jobs.add(job("critical", 2))
    assert jobs.take(1.0, 3) is None


def test_another_try_waits_for_its_time_and_holds_up_nobody() -> None:
    jobs = queue()
    jobs.add(job("critical", 0, due=50.0))
    jobs.add(job("critical", 1, due=1.0))
    jobs.add(job("bulk", 0, due=1.0))
    assert jobs.due("critical", 2.0) == 1
    places = [one.place for _ in range(3) if (one := jobs.take(2.0, 0))]
    assert places == [("critical", 0, 1), ("bulk", 0, 0)]
    later = jobs.take(50.0, 0)
    assert later is not None
    assert later.place == ("critical", 0, 0)


def test_no_offset_passes_a_job_that_is_open() -> None:
    jobs = queue()
    for offset in (4, 5, 9):
        jobs.add(job("bulk", offset))
    assert jobs.committable() == {("bulk", 0): 4}
    jobs.over(("bulk", 0, 5))
    assert jobs.committable() == {("bulk", 0): 4}
    jobs.committed({("bulk", 0): 4})
    assert jobs.committable() == {}
    jobs.over(("bulk", 0, 4))
    assert jobs.committable() == {("bulk", 0): 9}
    jobs.over(("bulk", 0, 9))
    assert jobs.committable() == {("bulk", 0): 10}


def test_a_partition_that_went_is_forgotten_with_its_jobs() -> None:
    jobs = queue()
    jobs.add(job("bulk", 0, partition=0))
    jobs.add(job("bulk", 7, partition=1))
    jobs.drop({("bulk", 0)})
    jobs.over(("bulk", 0, 0))
    assert jobs.committable() == {("bulk", 1): 7}
    left = jobs.take(1.0, 0)
    assert left is not None
    assert left.place == ("bulk", 1, 7)
    assert jobs.take(1.0, 0) is None


@given(st.permutations(list(range(8))), st.integers(0, 8))
def test_whatever_ends_first_the_offset_is_that_of_the_first_open_job(order: list[int], ended: int) -> None:
    jobs = queue()
    for offset in range(8):
        jobs.add(job("bulk", offset))
    for offset in order[:ended]:
        jobs.over(("bulk", 0, offset))
    expected = min(order[ended:], default=8)
    assert jobs.committable()["bulk", 0] == expected


@pytest.mark.parametrize("topic", ["critical", "bulk"])
def test_nothing_to_do(topic: str) -> None:
    assert (queue().take(1.0, 0), queue().due(topic, 1.0), queue().committable()) == (None, 0, {})
