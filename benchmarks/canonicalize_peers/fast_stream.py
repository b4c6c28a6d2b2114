"""FastStream on confluent-kafka with `batch=True`: the batch is acknowledged once all its events are."""

import asyncio
from typing import Any

import orjson
from faststream import AckPolicy, FastStream  # type: ignore[import-not-found]  # in an environment of its own
from faststream.confluent import KafkaBroker, KafkaMessage  # type: ignore[import-not-found]

from benchmarks.canonicalize_peers.mapped import canonicalizer, read_job

job = read_job()
canonicalize = canonicalizer(job)
broker = KafkaBroker(
    job.bootstrap_servers,
    config={"compression.type": "lz4", "partitioner": "murmur2_random", "linger.ms": 20},
    logger=None,
)
app = FastStream(broker)


async def raw_bodies(message: Any) -> Any:
    return message.body


@broker.subscriber(  # type: ignore[untyped-decorator]
    job.raw_topic,
    group_id=job.group,
    batch=True,
    max_records=10_000,
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.NACK_ON_ERROR,
    decoder=raw_bodies,
)
async def handle(message: KafkaMessage) -> None:
    written = []
    for raw in message.raw_message:
        place = (raw.topic(), raw.partition(), raw.offset(), raw.timestamp()[1])
        for topic, event in canonicalize(raw.headers(), orjson.loads(raw.value()), place):
            written.append(await broker.publish(event, topic, key=raw.key(), no_confirm=True))
    await asyncio.gather(*written)


if __name__ == "__main__":
    asyncio.run(app.run())
