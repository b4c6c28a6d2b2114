"""One source path's mappings, in one round trip. Whole sets are read by `registry.read_sets`."""

from pathlib import Path
from typing import Final

from mapping.mapping_set import Mapping
from registry import errors
from registry.edits import mapping_of
from registry.pool import Pool
from registry.queries import parse

STATEMENT: Final = parse(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))["find_mappings"]


def find_mappings(pool: Pool, *, tenant: str, connector: str, entity: str, source_field: str) -> list[Mapping]:
    """The mappings in force for `tenant` that read `source_field` first, in order of target; most often one.

    Raises RegistryUnavailable (retry) and RegistryMisconfigured.
    """
    values = {"tenant": tenant, "connector": connector, "entity": entity, "source_field": source_field}
    with errors.translated(), pool.connection() as connection:
        connection.autocommit = True  # a single statement is a transaction already
        try:
            return [mapping_of(row) for row in connection.execute(STATEMENT, values)]
        finally:
            connection.autocommit = False
