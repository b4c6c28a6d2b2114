"""What all work with vendors in one process shares: syncs and scans each add what is theirs alone."""

from dataclasses import dataclass

from connectors.egress import Egress
from connectors.limits import LimitBook
from connectors.settings import ConnectorSettings
from registry.connections import Connections
from registry.secrets import Secrets
from topics.names import TopicNames


@dataclass(frozen=True)
class VendorTools:
    """Postgres by `connections` and `secrets`, vendors by `egress`; `book` keeps their limits."""

    names: TopicNames
    connections: Connections
    secrets: Secrets
    egress: Egress
    book: LimitBook
    settings: ConnectorSettings
