"""Kafka clients with the defaults that AAM's guarantees rest on: idempotent, murmur2, read_committed, no auto commit.

A caller may override any property by its dotted name. librdkafka's own log goes to the Python logger `aam.kafka`,
delivered from `poll`; so do connection errors, which librdkafka retries by itself.
"""

import logging
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from schemas.failures import AamError, InvalidRecord, Misconfigured, TransientError
from topics.kafka_record import OUTPUT_LIMIT_BYTES
from topics.settings import KafkaSettings

_log = logging.getLogger("aam.kafka")
_Client = TypeVar("_Client", Consumer, Producer, AdminClient)

_UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._WAIT_COORD,
}
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_REFUSED = {
    KafkaError._INVALID_ARG,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}


def make_producer(settings: KafkaSettings, *, transactional_id: str | None = None, **extra: Any) -> Producer:
    """An idempotent producer, acks=all, lz4, partitions by murmur2 as Java and aiokafka do.

    With `transactional_id` the caller runs `init_transactions`. Raises Misconfigured for a property that librdkafka
    refuses.
    """
    config: dict[str, Any] = {
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 5,
        "message.max.bytes": OUTPUT_LIMIT_BYTES,
    }
    if transactional_id is not None:
        config["transactional.id"] = transactional_id
    return _built(Producer, settings, config | extra)


def make_consumer(
    settings: KafkaSettings, *, group_id: str, group_instance_id: str | None = None, **extra: Any
) -> Consumer:
    """A consumer that reads committed records only, from the earliest, and commits nothing by itself.

    `group_instance_id` makes the membership static: a restarted worker takes its partitions back at once.
    """
    config: dict[str, Any] = {
        "group.id": group_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
    }
    if group_instance_id is not None:
        config["group.instance.id"] = group_instance_id
    return _built(Consumer, settings, config | extra)


def make_admin(settings: KafkaSettings, **extra: Any) -> AdminClient:
    """An admin client. Its calls return futures; a broker that is away shows in their result."""
    return _built(AdminClient, settings, extra)


def as_aam_error(error: KafkaException | KafkaError, doing: str) -> AamError:
    """A Kafka error as the reaction it asks for: Misconfigured (set something), InvalidRecord (too large), else
    TransientError (try again).

    `doing` says what was tried, e.g. "read the dead letters".
    """
    cause: Any = error.args[0] if isinstance(error, KafkaException) and error.args else error
    code = cause.code() if isinstance(cause, KafkaError) else None
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    if code in _REFUSED:
        return Misconfigured(f"Kafka refused to {doing}: {text}")
    if code in _TOO_LARGE:
        return InvalidRecord(f"Kafka refused to {doing}: a record is larger than the topic takes")
    if code in _UNREACHABLE:
        return TransientError(f"Kafka did not answer (to {doing}): {text}")
    return TransientError(f"Kafka failed to {doing}: {text}")


def log_error(error: KafkaError) -> None:
    """librdkafka's `error_cb`: it reconnects by itself, except after a fatal error, which the next call raises."""
    _log.log(logging.ERROR if error.fatal() else logging.WARNING, "kafka: %s: %s", error.name(), error.str())


def _built(client: type[_Client], settings: KafkaSettings, config: dict[str, Any]) -> _Client:
    properties = {"client.id": settings.topic_prefix, "statistics.interval.ms": 0, "error_cb": log_error}
    try:
        return client(settings.client_config(**(properties | config)), logger=_log)
    except KafkaException as error:
        raise as_aam_error(error, "start a client") from error
    except (TypeError, ValueError) as error:
        raise Misconfigured("AAM_KAFKA_EXTRA: librdkafka properties take a string, a number or a boolean") from error
