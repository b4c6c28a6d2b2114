"""What becomes of a vendor's record: an upsert with all of it, or a delete, as the spec's `deletes` says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from connectors.errors import BadResponse
from connectors.expressions import expression, is_true
from mapping.decode_json import dump
from schemas.connector_spec import ConnectorSpec


class SourceRecord(NamedTuple):
    """One record for the raw topic. `value` is the vendor's JSON; None with a `record_id` for what is gone."""

    entity: str
    value: bytes | None
    op: Literal["upsert", "delete"] = "upsert"
    record_id: str | None = None


class RecordShape:
    """What becomes of a record: an upsert with all of it, or a delete."""

    def __init__(self, name: str, spec: ConnectorSpec, key_text: Callable[[Mapping[str, Any]], str]) -> None:
        deletes = spec.entities[name].deletes
        self._name = name
        self._gone = expression(deletes.when) if deletes and deletes.when else None
        self._always = deletes is not None and deletes.when is None
        self._of = deletes.of if deletes and deletes.of in spec.entities else None
        self._id = expression(deletes.id) if deletes and deletes.id else None
        self._key = key_text

    def records(self, records: Sequence[dict[str, Any]]) -> list[SourceRecord]:
        if self._gone is None and not self._always:
            name = self._name
            return [SourceRecord(name, value) for value in map(dump, records)]
        return [self._record(record) for record in records]

    def _record(self, record: dict[str, Any]) -> SourceRecord:
        if not self._always and (self._gone is None or not is_true(self._gone(record))):
            return SourceRecord(self._name, dump(record))
        if self._id is None and self._of is None:
            return SourceRecord(self._name, dump(record), "delete")
        identity = self._id(record) if self._id is not None else self._key(record)
        if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
            raise BadResponse("a delete doesn't say of what", "check deletes.id in the spec")
        return SourceRecord(self._of or self._name, None, "delete", str(identity))
