"""Dead letters on a real broker: found, shown, and retried exactly once, whoever tries at the same time."""

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without a word
from typer.testing import CliRunner

from cli.main import app
from infra.kafka.broker import RunningKafka
from schemas import headers as names
from schemas.failures import FailureKind, TransientError
from topics import dead_letter_topic
from topics.clients import make_admin, make_producer
from topics.dead_letter import Failure, dead_letter
from topics.dead_letter_topic import Wanted, find, newest, retry
from topics.kafka_record import ConsumedRecord, last_header, read_original
from topics.read_topic import Until, read_topic
from topics.settings import KafkaSettings

FAILURE = Failure(FailureKind.INVALID_RECORD, "canonicalize", "schemas.failures.InvalidRecord", "not JSON")
PARTITIONS = 3


@pytest.fixture
def settings(kafka: RunningKafka, unique: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("AAM_TOPIC_PREFIX", unique)
    settings = KafkaSettings()
    topics = [
        NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)
        for name in (settings.names.raw_records, settings.names.dead_letters)
    ]
    admin = make_admin(settings)  # must outlive its futures
    for future in admin.create_topics(topics).values():
        future.result(timeout=30)
    while settings.names.raw_records not in admin.list_topics(timeout=10).topics:
        time.sleep(0.05)
    return settings


def raw(settings: KafkaSettings, number: int, tenant: str = "acme", value: bytes | None = None) -> ConsumedRecord:
    headers: list[tuple[str, bytes | None]] = [
        ("tenant", tenant.encode()),
        ("connector", b"stripe"),
        ("entity", b"customer"),
        ("number", b"%d" % number),
    ]
    body = b"{%d" % number if value is None else value
    return ConsumedRecord(
        settings.names.raw_records, number % PARTITIONS, number, 1000 + number, tenant.encode(), body, headers
    )


def bury(settings: KafkaSettings, *records: ConsumedRecord, limit_bytes: int = 100_000) -> None:
    producer = make_producer(settings)
    for record in records:
        letter = dead_letter(record, FAILURE, limit_bytes=limit_bytes)
        producer.produce(settings.names.dead_letters, key=letter.key, value=letter.value, headers=list(letter.headers))
    assert producer.flush(30) == 0


def retried(settings: KafkaSettings) -> list[ConsumedRecord]:
    return list(read_topic(settings, settings.names.raw_records))


def numbers(settings: KafkaSettings) -> Counter[bytes | None]:
    return Counter(last_header(record.headers, "number") for record in retried(settings))


def test_each_is_retried_once_by_filter_by_place_and_all(settings: KafkaSettings) -> None:
    bury(settings, *(raw(settings, number, tenant=("acme", "globex")[number % 2]) for number in range(20)))

    assert retry(settings, Wanted(tenant="globex")).count == 10
    assert retry(settings, Wanted(tenant="globex")).count == 0
    one = newest(settings, Wanted(), limit=1)[0]
    place = (one.partition, one.offset)
    assert retry(settings, Wanted(places=frozenset([place]))).count == 1
    assert retry(settings, Wanted(places=frozenset([place]))).count == 0
    assert retry(settings, Wanted(kind="transient")).count == 0
    assert retry(settings, Wanted()).count == 9
    assert retry(settings, Wanted()).count == 0

    assert numbers(settings) == Counter({b"%d" % number: 1 for number in range(20)})
    assert newest(settings, Wanted(), limit=50) == []
    assert len(newest(settings, Wanted(), limit=50, retried=True)) == 20


def test_a_retried_record_is_the_old_one_at_its_old_partition(settings: KafkaSettings) -> None:
    record = raw(settings, 7)
    bury(settings, record)
    retry(settings, Wanted())
    [again] = retried(settings)
    assert (again.partition, again.key, again.value) == (record.partition, record.key, record.value)
    assert list(again.headers)[: len(record.headers)] == record.headers
    assert read_original(again.headers) == (record.topic, record.partition, record.offset, record.timestamp_ms)
    assert last_header(again.headers, names.ERROR_ATTEMPTS) == b"2"

    bury(settings, again)
    [letter] = newest(settings, Wanted(), limit=5)
    assert letter.attempts == 2
    assert letter.original is not None
    assert letter.original.offset == 7
    assert retry(settings, Wanted()).count == 1


def test_a_letter_without_its_bytes_is_left_alone_and_named(settings: KafkaSettings) -> None:
    bury(settings, raw(settings, 1, value=b"x" * 20_000), raw(settings, 2), limit_bytes=10_000)
    done = retry(settings, Wanted())
    assert done.count == 1
    [(place, reason)] = done.refused.items()
    assert "not kept" in reason
    letter = find(settings, place)
    assert letter is not None
    assert (letter.truncated, letter.record.value) == ("value", None)


def test_a_second_retry_takes_over_and_nothing_is_doubled(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_topic, "CHUNK_RECORDS", 5)
    bury(settings, *(raw(settings, number) for number in range(20)))
    counts = []

    def interrupt(count: int) -> None:
        if count == 10:
            counts.append(retry(settings, Wanted()).count)

    with pytest.raises(TransientError, match="took over"):
        retry(settings, Wanted(), progress=interrupt)
    assert counts == [10]
    assert numbers(settings) == Counter({b"%d" % number: 1 for number in range(20)})


def test_it_waits_for_an_open_transaction_that_could_hide_markers(settings: KafkaSettings) -> None:
    """A worker's open transaction hides all that was written behind it from a reader of committed records."""
    bury(settings, *(raw(settings, number) for number in range(6)))
    worker = make_producer(settings, transactional_id=settings.names.transactional_id("worker"))
    worker.init_transactions(30)
    done = []

    def open_transaction(_count: int) -> None:
        worker.begin_transaction()
        for partition in range(PARTITIONS):
            worker.produce(settings.names.dead_letters, value=b"in doubt", partition=partition)
        assert worker.flush(30) == 0

    # opened after the first chunk is committed: the markers of a later one stand behind it
    assert retry(settings, Wanted(tenant="acme", places=None), progress=open_transaction).count == 6
    second = threading.Thread(target=lambda: done.append(retry(settings, Wanted()).count))
    second.start()
    second.join(2)
    assert done == []
    worker.abort_transaction(30)
    second.join(60)
    assert done == [0]
    assert sum(numbers(settings).values()) == 6


def test_an_end_that_never_comes_is_a_transient_error(settings: KafkaSettings) -> None:
    worker = make_producer(settings, transactional_id=settings.names.transactional_id("worker"))
    worker.init_transactions(30)
    worker.begin_transaction()
    worker.produce(settings.names.dead_letters, value=b"in doubt", partition=0)
    worker.flush(30)
    with pytest.raises(TransientError, match="no end of partition 0"):
        list(read_topic(settings, settings.names.dead_letters, until=Until.WRITTEN, wait_seconds=1))
    assert list(read_topic(settings, settings.names.dead_letters)) == []
    worker.abort_transaction(30)


def test_the_commands(settings: KafkaSettings) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["deadletters", *arguments])

    assert run("list", "--json").stdout == ""
    bury(settings, raw(settings, 1), raw(settings, 2, tenant="globex"))
    listed = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [(letter["tenant"], letter["kind"]) for letter in listed] == [
        ("acme", "invalid_record"),
        ("globex", "invalid_record"),
    ]
    assert len(run("list", "--tenant", "acme", "--json").stdout.splitlines()) == 1
    assert "not JSON" in run("list").stdout
    place = listed[1]["place"]
    shown = json.loads(run("show", place, "--json").stdout)
    assert (shown["value"], shown["key"]) == ("{2", "globex")
    assert run("show", "0:99999").exit_code == 1
    assert run("retry").exit_code == 2
    assert run("retry", place).exit_code == 0
    assert run("retry", place).exit_code == 1
    assert run("retry", "--all").stderr.endswith("1 dead letters retried\n")
