"""Kafka's own command line tools, from the jars that the local broker runs on: names as in Kafka's bin folder."""

import os
import subprocess
from collections.abc import Sequence

from infra.kafka.jars import fetch_jars
from infra.kafka.java import find_java
from infra.narration import Say, to_stderr
from schemas.failures import Misconfigured

_TOOLS = "org.apache.kafka.tools"
MAIN_CLASSES = {
    "kafka-acls": f"{_TOOLS}.AclCommand",
    "kafka-broker-api-versions": f"{_TOOLS}.BrokerApiVersionsCommand",
    "kafka-cluster": f"{_TOOLS}.ClusterTool",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-consumer": f"{_TOOLS}.consumer.ConsoleConsumer",
    "kafka-console-producer": f"{_TOOLS}.ConsoleProducer",
    "kafka-consumer-groups": f"{_TOOLS}.consumer.group.ConsumerGroupCommand",
    "kafka-consumer-perf-test": f"{_TOOLS}.ConsumerPerformance",
    "kafka-delete-records": f"{_TOOLS}.DeleteRecordsCommand",
    "kafka-dump-log": f"{_TOOLS}.DumpLogSegments",
    "kafka-features": f"{_TOOLS}.FeatureCommand",
    "kafka-get-offsets": f"{_TOOLS}.GetOffsetShell",
    "kafka-groups": f"{_TOOLS}.GroupsCommand",
    "kafka-leader-election": f"{_TOOLS}.LeaderElectionCommand",
    "kafka-log-dirs": f"{_TOOLS}.LogDirsCommand",
    "kafka-metadata-quorum": f"{_TOOLS}.MetadataQuorumCommand",
    "kafka-producer-perf-test": f"{_TOOLS}.ProducerPerformance",
    "kafka-reassign-partitions": f"{_TOOLS}.reassign.ReassignPartitionsCommand",
    "kafka-storage": "kafka.tools.StorageTool",
    "kafka-topics": f"{_TOOLS}.TopicCommand",
    "kafka-transactions": f"{_TOOLS}.TransactionsCommand",
}
_OFFLINE = frozenset({"kafka-dump-log", "kafka-storage"})  # they read files and know no broker
_BROKER_OPTIONS = ("--bootstrap-server", "--bootstrap-controller")
_AFTER_SUBCOMMAND = frozenset({"kafka-cluster"})  # takes its options after the subcommand only


def run_tool(name: str, arguments: Sequence[str], *, bootstrap_servers: str | None, say: Say = to_stderr) -> int:
    """Run a tool on this terminal; returns its exit code.

    Args:
        name: as in Kafka's bin folder, with or without `.sh`.
        arguments: the tool's own; where they name no broker, `bootstrap_servers` is added.
    Raises:
        Misconfigured: no such tool, or it needs a broker and there is none.
    """
    main_class = main_class_of(name)
    words = with_broker(name.removesuffix(".sh"), arguments, bootstrap_servers)
    java, class_path = find_java(), os.pathsep.join(map(str, fetch_jars(say)))
    log_level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    command = [java.executable, *java.options(), "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", log_level]
    return subprocess.run([*command, "-cp", class_path, main_class, *words], check=False).returncode


def main_class_of(name: str) -> str:
    """The class behind a tool's name; Misconfigured lists the names if there is none."""
    try:
        return MAIN_CLASSES[name.removesuffix(".sh")]
    except KeyError:
        raise Misconfigured(f"There is no tool {name}. Tools: {', '.join(MAIN_CLASSES)}") from None


def with_broker(name: str, arguments: Sequence[str], bootstrap_servers: str | None) -> list[str]:
    """`arguments`, with the broker added unless they name one, ask for help, or the tool takes none."""
    words = list(arguments)
    named = any(word.startswith(_BROKER_OPTIONS) for word in words)
    if named or name in _OFFLINE or "--help" in words or "--version" in words:
        return words
    if bootstrap_servers is None:
        raise Misconfigured(
            "No Kafka to talk to: start one with `aam kafka start`, set KAFKA_BOOTSTRAP_SERVERS, or give "
            "--bootstrap-server."
        )
    broker = ["--bootstrap-server", bootstrap_servers]
    return [*words, *broker] if name in _AFTER_SUBCOMMAND else [*broker, *words]
