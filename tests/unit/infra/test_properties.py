"""The broker's settings: what AAM relies on, and text that Java reads back as it was."""

from pathlib import Path

from infra.kafka.properties import render, server_properties


def test_listens_on_loopback_alone_with_the_given_ports() -> None:
    properties = server_properties(Path("/data"), [1111, 2222])
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222"
    assert properties["advertised.listeners"] == properties["listeners"]
    assert properties["controller.quorum.bootstrap.servers"] == "127.0.0.1:2222"


def test_what_the_rest_of_aam_relies_on() -> None:
    properties = server_properties(Path("/data"), [1, 2])
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["group.initial.rebalance.delay.ms"] == 0
    for limit in ("message.max.bytes", "replica.fetch.max.bytes"):
        assert int(properties[limit]) >= 5 * 1024 * 1024
    assert int(properties["transaction.max.timeout.ms"]) >= 60_000
    assert properties["transaction.abort.timed.out.transaction.cleanup.interval.ms"] == 1_000
    # an index is reserved at full size, two a partition: 2,000 partitions must not show as more than 2 GB
    assert 2 * 2_000 * int(properties["log.index.size.max.bytes"]) < 2 * 1024**3


def test_values_are_escaped_as_java_reads_them() -> None:
    assert render({"log.dirs": 'C:\\über\n"x"', "n": 1}) == 'log.dirs=C:\\\\\\u00fcber\\n"x"\nn=1\n'
