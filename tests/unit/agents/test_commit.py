"""What is asked of the client, in which order, and what a failure leaves behind."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from agents.commit import AfterWrites, Transactional, retried
from schemas.failures import TransientError

OFFSETS = [TopicPartition("raw", 0, 7)]


class FakeClient:
    """Notes calls; raises what it is told to, once each."""

    def __init__(self, **errors: KafkaException) -> None:
        self.calls: list[str] = []
        self.errors = errors
        self.undelivered = 0
        self.on_delivery: Any = None

    def __getattr__(self, name: str) -> Any:
        def call(*_arguments: Any, **_named: Any) -> Any:
            self.calls.append(name)
            error = self.errors.pop(name, None)
            if error is not None:
                raise error
            return self.undelivered

        return call


def transactional(*clients: FakeClient) -> Transactional:
    made: Any = iter(clients)
    return Transactional(lambda: next(made), timeout_seconds=5)


def failure(*, retriable: bool = False, fatal: bool = False) -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "x", fatal, retriable))


def test_a_transaction_takes_the_offsets_along() -> None:
    producer, consumer = FakeClient(), FakeClient()
    style = transactional(producer)
    style.begin()
    style.commit(OFFSETS, consumer, None)  # type: ignore[arg-type]
    assert producer.calls == [
        "init_transactions",
        "begin_transaction",
        "send_offsets_to_transaction",
        "commit_transaction",
    ]
    assert "commit" not in consumer.calls


def test_a_commit_is_asked_again_while_the_client_says_so() -> None:
    producer = FakeClient(commit_transaction=failure(retriable=True))
    style = transactional(producer)
    style.begin()
    style.commit(OFFSETS, FakeClient(), None)  # type: ignore[arg-type]
    assert producer.calls.count("commit_transaction") == 2


def test_a_producer_that_cannot_abort_is_replaced() -> None:
    made = [FakeClient(abort_transaction=failure(fatal=True)), FakeClient()]
    style = transactional(*made)
    style.begin()
    style.abort()
    assert made[1].calls == ["init_transactions"]  # at once: offsets are read next, and its transaction hides them
    style.begin()
    assert made[1].calls == ["init_transactions", "begin_transaction"]


def test_a_fatal_error_is_not_repeated() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise failure(fatal=True)

    with pytest.raises(KafkaException):
        retried(call, seconds=5)
    assert len(calls) == 1


def after_writes() -> tuple[AfterWrites, FakeClient]:
    producer = FakeClient()

    def opened(**named: Any) -> Any:
        producer.on_delivery = named["on_delivery"]
        return producer

    style = AfterWrites(opened, timeout_seconds=1)
    style.begin()
    assert style.producer
    return style, producer


def test_offsets_follow_the_writes() -> None:
    style, producer = after_writes()
    consumer = FakeClient()
    style.commit(OFFSETS, consumer, None)  # type: ignore[arg-type]
    assert producer.calls == ["flush"]
    assert consumer.calls == ["commit"]


@pytest.mark.parametrize("delivered", [True, False])
def test_offsets_stay_where_a_write_is_not_acknowledged(delivered: bool) -> None:
    style, producer = after_writes()
    consumer = FakeClient()
    if delivered:
        producer.on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), None)
    else:
        producer.undelivered = 1
    with pytest.raises(TransientError):
        style.commit(OFFSETS, consumer, None)  # type: ignore[arg-type]
    assert consumer.calls == []
