"""The compiled functions of the sets in force, made when a record first needs one.

A set that can't be compiled leaves the last good one of its source in force, with a metric that asks for an alert. A
tenant without mappings of its own shares the connector's function.
"""

import logging
import time
from collections.abc import Mapping

from agents.mapping_cache import Key, MappingTable
from mapping.compile import CompiledSet, compile_set
from mapping.event_format import EventFormat
from mapping.mapping_set import ANY_TENANT, MappingSet, compose
from observability import metrics
from schemas.canonical_model import CanonicalEntity

log = logging.getLogger(__name__)

_Versions = tuple[tuple[int, int] | None, tuple[int, int] | None]


class CompiledSets:
    """Source → its function. `prefixes`: canonical entity → the wire framing before an Avro body."""

    def __init__(
        self, entities: Mapping[str, CanonicalEntity], *, event_format: EventFormat, prefixes: Mapping[str, bytes]
    ) -> None:
        self._entities = entities
        self._format = event_format
        self._prefixes = prefixes
        self._compiled: dict[Key, tuple[_Versions, CompiledSet | None]] = {}
        self._failing: set[Key] = set()

    def find(self, table: MappingTable, tenant: str, connector: str, entity: str) -> CompiledSet | None:
        """The function for the tenant's records of this source; None if no set maps them."""
        base, override = table.layers(tenant, connector, entity)
        key = (tenant if override is not None else ANY_TENANT, connector, entity)
        versions = (base.version if base else None, override.version if override else None)
        held = self._compiled.get(key)
        if held is not None and held[0] == versions:
            return held[1]
        composed = compose(base, override)
        compiled = None if composed is None else self._compile(key, composed, held[1] if held else None)
        self._compiled[key] = (versions, compiled)
        return compiled

    def _compile(self, key: Key, mapping_set: MappingSet, last_good: CompiledSet | None) -> CompiledSet | None:
        started = time.perf_counter()
        try:
            compiled = compile_set(mapping_set, self._entities, event_format=self._format, prefixes=self._prefixes)
        except Exception as error:
            metrics.SET_FAILURES.labels("compile").inc()
            self._failing.add(key)
            log.error(
                "set %s at revision %d can't be compiled, the last good one stays: %s", key, mapping_set.revision, error
            )
            compiled_or_last = last_good
        else:
            metrics.SET_COMPILE_SECONDS.observe(time.perf_counter() - started)
            self._failing.discard(key)
            compiled_or_last = compiled
        metrics.SETS_FAILING.labels("compile").set(len(self._failing))
        return compiled_or_last
