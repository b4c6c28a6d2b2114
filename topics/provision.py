"""Compares the catalogue with a cluster, and creates what is missing.

Never deletes a topic, and never changes partitions or replicas: order and the meaning of a raw offset rest on them.
Properties that differ are reported, and set only when asked to.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, though re-exported without a word
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from schemas.failures import TransientError
from topics.catalogue import Catalogue, TopicSpec
from topics.clients import as_aam_error

REQUEST_TIMEOUT_SECONDS = 30.0
REACH_TIMEOUT_SECONDS = 10.0
VISIBLE_ATTEMPTS, VISIBLE_PAUSE_SECONDS = 100, 0.1


class Aspect(StrEnum):
    """What differs, and with it what `apply` does: create it, nothing, nothing, or set it when asked to."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    REPLICAS = "replicas"
    PROPERTY = "property"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about one topic that is not as the catalogue says. `name` is a property's name, else empty."""

    topic: str
    aspect: Aspect
    name: str
    wanted: str
    actual: str

    def __str__(self) -> str:
        if self.aspect is Aspect.MISSING:
            return f"{self.topic}: missing ({self.wanted})"
        return f"{self.topic}: {self.name or self.aspect} is {self.actual}, the catalogue says {self.wanted}"

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {key: str(value) for key, value in asdict(self).items()}


def plan(admin: AdminClient, catalogue: Catalogue) -> list[Difference]:
    """How the cluster differs from the catalogue, in the catalogue's order; empty if it doesn't.

    Raises:
        TransientError: Kafka does not answer.
        Misconfigured: it refuses.
    """
    cluster = metadata(admin)
    copies = replication_factor(catalogue, len(cluster.brokers))
    there = [spec for spec in catalogue if spec.name in cluster.topics]
    properties = _properties(admin, [spec.name for spec in there])
    found: list[Difference] = []
    for spec in catalogue:
        if spec.name in properties:
            found += _differences(spec, copies, cluster.topics[spec.name], properties[spec.name])
        else:
            found.append(Difference(spec.name, Aspect.MISSING, "", f"{spec.partitions} partitions", "absent"))
    return found


def apply(
    admin: AdminClient, catalogue: Catalogue, differences: Sequence[Difference], *, alter: bool = False
) -> list[Difference]:
    """Creates the missing topics and, with `alter`, sets the properties that differ; returns what it dealt with.

    Raises TransientError or Misconfigured as `plan` does; what was created until then stays.
    """
    missing = [difference for difference in differences if difference.aspect is Aspect.MISSING]
    altered = [difference for difference in differences if alter and difference.aspect is Aspect.PROPERTY]
    if missing:
        copies = replication_factor(catalogue, len(metadata(admin).brokers))
        _create(admin, [catalogue[difference.topic] for difference in missing], copies)
    if altered:
        _alter(admin, altered)
    return [*missing, *altered]


def replication_factor(catalogue: Catalogue, brokers: int) -> int:
    """Copies of each topic: the setting, else three where there are three brokers."""
    return catalogue.replication_factor or max(1, min(3, brokers))


def metadata(admin: AdminClient) -> ClusterMetadata:
    """Brokers and topics of the cluster. Raises as `plan` does."""
    try:
        return admin.list_topics(timeout=REACH_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise as_aam_error(error, "list the topics") from error


def _differences(
    spec: TopicSpec, copies: int, topic: TopicMetadata, properties: dict[str, str]
) -> Iterator[Difference]:
    partitions = len(topic.partitions)
    if partitions != spec.partitions:
        yield Difference(spec.name, Aspect.PARTITIONS, "", str(spec.partitions), str(partitions))
    replicas = min((len(partition.replicas) for partition in topic.partitions.values()), default=0)
    if replicas != copies:
        yield Difference(spec.name, Aspect.REPLICAS, "", str(copies), str(replicas))
    for name, wanted in spec.config(copies).items():
        actual = properties.get(name, "")
        if not _equal(actual, wanted):
            yield Difference(spec.name, Aspect.PROPERTY, name, wanted, actual)


def _equal(actual: str, wanted: str) -> bool:
    try:
        return actual == wanted or float(actual) == float(wanted)
    except ValueError:
        return False


def _properties(admin: AdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """topic -> its properties in force. A topic that was just deleted is left out."""
    if not topics:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    futures = _asked(lambda: admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_SECONDS))
    found = {}
    for resource, future in futures.items():
        entries = _result(future, "read the topics' properties", KafkaError.UNKNOWN_TOPIC_OR_PART)
        if entries is not None:
            found[resource.name] = {name: entry.value or "" for name, entry in entries.items()}
    return found


def _create(admin: AdminClient, specs: Sequence[TopicSpec], copies: int) -> None:
    # A request a size, the smallest first: a broker lays out what one request names before it serves any of it, and
    # nobody who waits for a control topic should wait for thousands of canonical partitions.
    for _, alike in groupby(sorted(specs, key=_size), key=_size):
        topics = [
            NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=copies, config=spec.config(copies))
            for spec in alike
        ]
        futures = _asked(partial(admin.create_topics, topics, request_timeout=REQUEST_TIMEOUT_SECONDS))
        for name, future in futures.items():
            _result(future, f"create {name}", KafkaError.TOPIC_ALREADY_EXISTS)
    _await_visible(admin, {spec.name for spec in specs})


def _size(spec: TopicSpec) -> int:
    return spec.partitions


def _await_visible(admin: AdminClient, topics: set[str]) -> None:
    """A broker learns of a new topic a moment after the controller has created it; what follows may ask at once."""
    for _ in range(VISIBLE_ATTEMPTS):
        if topics <= metadata(admin).topics.keys():
            return
        time.sleep(VISIBLE_PAUSE_SECONDS)
    raise TransientError("the topics were created, but the brokers do not show them yet: try again")


def _alter(admin: AdminClient, differences: Sequence[Difference]) -> None:
    resources: dict[str, ConfigResource] = {}
    for difference in differences:
        resource = resources.setdefault(difference.topic, ConfigResource(ResourceType.TOPIC, difference.topic))
        resource.add_incremental_config(
            ConfigEntry(difference.name, difference.wanted, incremental_operation=AlterConfigOpType.SET)
        )
    futures = _asked(
        lambda: admin.incremental_alter_configs(list(resources.values()), request_timeout=REQUEST_TIMEOUT_SECONDS)
    )
    for resource, future in futures.items():
        _result(future, f"set properties of {resource.name}")


def _asked(request: Callable[[], dict[Any, Future[Any]]]) -> dict[Any, Future[Any]]:
    try:
        return request()
    except KafkaException as error:
        raise as_aam_error(error, "change topics") from error


def _result(future: Future[Any], doing: str, *harmless: int) -> Any:
    """The future's result; None for an error that says that somebody else was faster."""
    try:
        return future.result(timeout=REQUEST_TIMEOUT_SECONDS + 5)
    except KafkaException as error:
        if error.args[0].code() in harmless:
            return None
        raise as_aam_error(error, doing) from error
