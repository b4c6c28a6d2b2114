"""The limit of Python: read 10,000, map, write, commit in one transaction. No failures handled, nothing measured."""

import signal
import sys
from typing import Any

from confluent_kafka import Consumer, Producer

from benchmarks.canonicalize_peers.mapped import canonicalizer, read_job
from mapping.decode_json import decode


def main() -> None:
    job = read_job()
    canonicalize = canonicalizer(job)
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap_servers,
            "group.id": job.group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 20,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap_servers,
            "transactional.id": job.group,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 262_144,
        }
    )
    consumer.subscribe([job.raw_topic])
    producer.init_transactions(60)
    while True:
        messages = consumer.consume(10_000, 0.1)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            key, value, headers = message.key(), message.value(), message.headers()
            place: Any = (message.topic(), message.partition(), message.offset(), message.timestamp()[1])
            for topic, event in canonicalize(headers, decode(value), place):  # type: ignore[arg-type]  # as produced
                producer.produce(topic, event, key)
        offsets = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 60)
        producer.commit_transaction(60)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
