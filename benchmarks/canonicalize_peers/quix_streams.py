"""Quix Streams, as its documentation writes a pipeline: JSON in, `apply`, `to_topic` by the record's source."""

from typing import Any

from quixstreams import Application, message_context  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks.canonicalize_peers.mapped import canonicalizer, read_job

DEFAULT_COMMIT_SECONDS = 5.0  # quixstreams 3.28


def main() -> None:
    job = read_job()
    canonicalize = canonicalizer(job)
    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee=job.guarantee,
        commit_interval=job.commit_seconds or DEFAULT_COMMIT_SECONDS,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=job.state,
        loglevel="WARNING",
        producer_extra_config={"compression.type": "lz4", "partitioner": "murmur2_random"},
    )
    raw = app.topic(job.raw_topic, key_deserializer="bytes", value_deserializer="json")
    outputs = {name: app.topic(name, key_serializer="bytes", value_serializer="bytes") for name in job.outputs.values()}
    target = {given["connector"].encode(): given["mappings"][0]["canonical_entity"] for given in job.sets}

    def to_event(record: dict[str, Any], _key: Any, timestamp: int, headers: Any) -> bytes:
        context = message_context()
        place = (context.topic, context.partition, context.offset, timestamp)
        return canonicalize(headers, record, place)[0][1]

    def topic_of(_value: Any, _key: Any, _timestamp: int, headers: Any) -> Any:
        return outputs[job.outputs[target[dict(headers)["connector"]]]]

    app.dataframe(raw).apply(to_event, metadata=True).to_topic(topic_of)
    app.run()


if __name__ == "__main__":
    main()
