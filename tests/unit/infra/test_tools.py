"""Names of Kafka's tools, and when the broker's address is added."""

import pytest

from infra.kafka import tools
from infra.kafka.java import Java
from infra.kafka.tools import main_class_of, with_broker
from schemas.failures import Misconfigured


@pytest.mark.parametrize("name", ["kafka-topics", "kafka-topics.sh"])
def test_name_as_in_kafkas_bin_folder(name: str) -> None:
    assert main_class_of(name) == "org.apache.kafka.tools.TopicCommand"


def test_unknown_tool_lists_the_known() -> None:
    with pytest.raises(Misconfigured, match="kafka-consumer-groups"):
        main_class_of("kafka-tropics")


def test_broker_is_added_when_none_is_named() -> None:
    assert with_broker("kafka-topics", ["--list"], "h:1") == ["--bootstrap-server", "h:1", "--list"]
    assert with_broker("kafka-cluster", ["cluster-id"], "h:1") == ["cluster-id", "--bootstrap-server", "h:1"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("kafka-topics", ["--bootstrap-server", "x:1", "--list"]),
        ("kafka-topics", ["--bootstrap-server=x:1", "--list"]),
        ("kafka-metadata-quorum", ["--bootstrap-controller", "x:1", "describe"]),
        ("kafka-dump-log", ["--files", "a.log"]),
        ("kafka-storage", ["random-uuid"]),
        ("kafka-topics", ["--help"]),
    ],
)
@pytest.mark.parametrize("known", ["h:1", None])
def test_arguments_stay_as_given(name: str, arguments: list[str], known: str | None) -> None:
    assert with_broker(name, arguments, known) == arguments


def test_without_any_broker_the_error_names_the_ways_out() -> None:
    with pytest.raises(Misconfigured, match=r"aam kafka start.*KAFKA_BOOTSTRAP_SERVERS"):
        with_broker("kafka-topics", ["--list"], None)


def test_exit_code_of_the_tool_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "fetch_jars", lambda _say: [])
    monkeypatch.setattr(tools, "find_java", lambda: Java("/bin/false", 17))
    assert tools.run_tool("kafka-storage", [], bootstrap_servers=None) == 1
