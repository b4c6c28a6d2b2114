"""How a worker that dies at work is followed by one that finds out why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.batch_journal import DEATHS_OF_THE_CONDEMNED, BatchJournal
from schemas.failures import Misconfigured

POISON = 700


def work(path: Path, stream: list[Any], records: int) -> tuple[list[Any], int]:
    """Workers one after another over `stream`, each dying at POISON; (what was condemned, how many died)."""
    deaths, position, condemned = 0, 0, []
    journal = BatchJournal(path)
    while position < len(stream):
        batch = stream[position : position + journal.limit(records)]
        found = journal.condemned(batch)
        journal.begin(batch)
        if any(m.offset() == POISON for m in batch) and not found:
            deaths += 1
            assert deaths < 50
            journal = BatchJournal(path)
            continue
        condemned += found
        journal.end()
        position += len(batch)
    assert journal.limit(records) == records
    return condemned, deaths


@pytest.mark.parametrize("records", [1, 10, 1_000])
def test_the_one_record_is_found_by_halves_and_no_other_suffers(
    tmp_path: Path, message: Callable[..., Any], records: int
) -> None:
    stream = [message({}, offset) for offset in range(2_000)]
    condemned, deaths = work(tmp_path / "state" / "journal", stream, records)
    assert [m.offset() for m in condemned] == [POISON]
    assert deaths <= records.bit_length() - 1 + DEATHS_OF_THE_CONDEMNED


def test_a_worker_killed_for_other_reasons_condemns_nobody(tmp_path: Path, message: Callable[..., Any]) -> None:
    one = message({}, 5)
    for _ in range(DEATHS_OF_THE_CONDEMNED - 1):
        BatchJournal(tmp_path / "j").begin([one])
    journal = BatchJournal(tmp_path / "j")
    assert journal.condemned([one]) == []
    journal.begin([one])
    journal.end()
    BatchJournal(tmp_path / "j").begin([one])
    assert BatchJournal(tmp_path / "j").condemned([one]) == []


def test_a_file_that_can_not_be_read_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("{")
    assert BatchJournal(tmp_path / "j").limit(10) == 10


def test_a_worker_that_ends_before_it_reads_counts_no_death(tmp_path: Path, message: Callable[..., Any]) -> None:
    BatchJournal(tmp_path / "j").begin([message({}, 5)])
    for _ in range(DEATHS_OF_THE_CONDEMNED):
        journal = BatchJournal(tmp_path / "j")
    assert journal.condemned([message({}, 5)]) == []


def test_a_folder_that_can_not_be_had_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="AAM_STATE_DIR"):
        BatchJournal(tmp_path / "file" / "j")
