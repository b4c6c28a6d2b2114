"""The mappings that hold, as files. Which form a file has is in `registry.yaml_writer`; writing it is the caller's."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final
from urllib.parse import quote

from mapping.mapping_set import ANY_TENANT, MappingSet
from registry.pool import Pool, transaction
from registry.read_sets import read_sets
from registry.yaml_writer import write_mappings

_PLAIN: Final = " "  # beside letters, digits and _.-~ left as it is in a file's name


@dataclass(frozen=True)
class ExportedFile:
    """The file of one connector in one scope. `name` is unique, and names no other folder."""

    connector: str
    tenant: str
    mappings: int
    text: str

    @property
    def name(self) -> str:
        of_tenant = "" if self.tenant == ANY_TENANT else "@" + quote(self.tenant, safe=_PLAIN)
        return f"{quote(self.connector, safe=_PLAIN)}{of_tenant}.yaml"


def export_mappings(pool: Pool, *, tenant: str = ANY_TENANT, connector: str | None = None) -> list[ExportedFile]:
    """The files of the mappings of `tenant` alone, in order of connector. What a running experiment tries is in none.

    Raises RegistryUnavailable (retry) and RegistryMisconfigured.
    """
    with transaction(pool) as connection:
        sets = [one for one in read_sets(connection) if one.tenant == tenant and connector in (None, one.connector)]
    return [_file(name, tenant, list(group)) for name, group in groupby(filter(_says_something, sets), _connector)]


def _file(connector: str, tenant: str, sets: list[MappingSet]) -> ExportedFile:
    mappings = sum(len(one.mappings) for one in sets)
    return ExportedFile(connector, tenant, mappings, write_mappings(connector, tenant, sets))


def _says_something(one: MappingSet) -> bool:
    return bool(one.mappings or one.primary_key or one.ignored)


def _connector(one: MappingSet) -> str:
    return one.connector
