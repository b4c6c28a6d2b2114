"""Faust as its documentation writes an agent: `async for event in stream.events()`, one `send` each."""

import sys
from typing import Any

import faust
import orjson

from benchmarks.canonicalize_peers.mapped import canonicalizer, read_job

job = read_job()
canonicalize = canonicalizer(job)
app = faust.App(
    job.group,
    broker=f"kafka://{job.bootstrap_servers}",
    datadir=job.state,
    store="memory://",
    web_enabled=False,
    topic_disable_leader=True,
    topic_allow_declare=False,
)
raw = app.topic(job.raw_topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
outputs = {
    name: app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    for name in job.outputs.values()
}


@app.agent(raw)
async def handle(stream: Any) -> None:
    async for event in stream.events():
        message = event.message
        headers = list(message.headers.items()) if isinstance(message.headers, dict) else message.headers
        place = (message.topic, message.partition, message.offset, int(message.timestamp * 1000))
        for topic, canonical in canonicalize(headers, orjson.loads(event.value), place):
            await outputs[topic].send(key=event.key, value=canonical)


if __name__ == "__main__":
    sys.argv = ["faust", "worker", "--loglevel", "warn"]
    app.main()
