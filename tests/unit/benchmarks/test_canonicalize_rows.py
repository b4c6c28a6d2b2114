"""What a run's samples and a report's rows amount to."""

from benchmarks.canonicalize import medians
from benchmarks.canonicalize_throughput import Sample, window


def samples(*records: int) -> list[Sample]:
    return [Sample(at=float(at), records=count, cpu=0.0, memory=0) for at, count in enumerate(records)]


def test_a_window_begins_after_the_warm_up_and_ends_with_the_last_commit() -> None:
    first, last = window(samples(0, 10, 30, 60, 90), 20, total=1000)
    assert (first.records, last.records) == (30, 90)


def test_a_last_commit_that_may_have_waited_for_the_clock_does_not_count() -> None:
    first, last = window(samples(0, 10, 30, 60, 100), 20, total=100)
    assert (first.records, last.records) == (30, 60)


def test_a_system_that_committed_once_is_measured_from_its_start() -> None:
    first, last = window(samples(0, 100), 20, total=100)
    assert (first.records, last.records) == (0, 100)


def test_medians_are_taken_a_system_and_shape() -> None:
    def row(system: str, rate: int) -> dict[str, object]:
        key = {"system": system, "format": "json", "guarantee": "exactly-once", "shape": "wide"}
        return key | {"records_per_s": rate, "cpu_s_per_million": 1.0, "peak_mb": 1.0}

    found = list(medians([row("a", 1), row("b", 9), row("a", 5), row("a", 3)]))
    assert [(each["system"], each["records_per_s"]) for each in found] == [("a", 3), ("b", 9)]
