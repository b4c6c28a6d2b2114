"""The name of every topic, consumer group and transactional id, under one prefix.

The prefix (`AAM_TOPIC_PREFIX`, "aam" by default) lets two installations or a test share a cluster. What a topic is
for, and how it is laid out, is data: `topics/catalogue.json`.
"""

import re
from dataclasses import dataclass

from schemas.failures import Misconfigured

DEFAULT_PREFIX = "aam"
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Names under `prefix`: 1–80 of `A-Z a-z 0-9 . _ -`. Raises Misconfigured for any other prefix."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise Misconfigured("AAM_TOPIC_PREFIX must be 1 to 80 letters, digits, '.', '_' or '-'")

    @property
    def raw_records(self) -> str:
        return f"{self.prefix}.raw.records.v1"

    @property
    def raw_parked(self) -> str:
        return f"{self.prefix}.raw.parked.v1"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters.v1"

    @property
    def fields_novel(self) -> str:
        return f"{self.prefix}.fields.novel.v1"

    @property
    def fields_unresolved(self) -> str:
        return f"{self.prefix}.fields.unresolved.v1"

    @property
    def mapping_proposals(self) -> str:
        return f"{self.prefix}.mapping.proposals.v1"

    @property
    def schema_changes(self) -> str:
        return f"{self.prefix}.raw.schema-changes.v1"

    @property
    def scan_jobs(self) -> dict[str, str]:
        """Urgency of scan jobs → topic, the most urgent first."""
        return {urgency: f"{self.prefix}.jobs.scan.{urgency}.v1" for urgency in ("critical", "normal", "bulk")}

    @property
    def mapping_table(self) -> str:
        return f"{self.prefix}.mapping.table.v1"

    @property
    def registry_events(self) -> str:
        return f"{self.prefix}.registry.events.v1"

    def canonical(self, entity: str) -> str:
        """The topic of one canonical entity, e.g. `aam.canonical.customer.v1`."""
        return f"{self.prefix}.canonical.{entity}.v1"

    def group(self, name: str) -> str:
        """A consumer group, e.g. `aam.canonicalize`."""
        return f"{self.prefix}.{name}"

    def transactional_id(self, name: str) -> str:
        """A transactional id, e.g. `aam-mapping-publisher`."""
        return f"{self.prefix}-{name}"

    def under_prefix(self, catalogue_name: str) -> str:
        """A name of the catalogue, where the prefix is always `aam`, under this prefix."""
        return self.prefix + catalogue_name.removeprefix(DEFAULT_PREFIX)
