"""The records of one entity: a pool that its template makes bit by bit, and any number of records from it by index.

A record of the pool is cut into the bytes that stay and the slots that an index fills: a page of a hundred records
costs a fraction of a millisecond. What drift changed is a change of the pool. Which records a request means is decided
in `sandbox.listing`.
"""

import random
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

import orjson
from faker import Faker

from sandbox.drift import Change, apply_changes
from sandbox.generators import SLOT_END, SLOT_START, Scene, slot
from sandbox.slots import Clock, Ids, Render, renderer
from sandbox.templates import compile_template
from sandbox.vendor import Entity, Vendor

_SELECTIONS: Final = 16
_FAR: Final = 1_000_003
_SLOT: Final = re.compile(f'("?){SLOT_START}([^{SLOT_END}]*){SLOT_END}("?)'.encode())

Record = dict[str, Any]
Cut = tuple[bytes, tuple[Callable[[int], bytes], ...]]
"""A bytes format with %b where its slots are, and the slots' functions."""


class Dataset:
    """`count` records of one entity. The same vendor, seed, count and changes give the same records."""

    def __init__(self, vendor: Vendor, name: str, records: int, seed: int, changes: Sequence[Change] = ()) -> None:
        self.vendor, self.name, self.entity = vendor, name, vendor.entities[name]
        self.count = count_of(vendor, name, records)
        self.clock = Clock(self.count)
        self.ids = ids_of(self.entity)
        self._records, self._changes = records, changes
        self._size = min(self.vendor.pool, self.count)
        self._kind = seed ^ zlib.crc32(f"{vendor.name}/{self.entity.like or name}".encode())
        self._made: dict[int, Record] = {}
        self._cuts: dict[tuple[str, ...] | None, dict[int, Cut]] = {}

    @property
    def each(self) -> int:
        """How many records hang below one parent; all, if there are no parents."""
        parent = self.entity.parent
        return self.count if parent is None else self.count // count_of(self.vendor, parent.entity, self._records)

    def parent_index(self, named: Any) -> int | None:
        """Which parent a request names; None if there is none of that id."""
        parent = self.entity.parent
        if parent is None or named is None:
            return None
        index = ids_of(self.vendor.entities[parent.entity])[parent.key].index(str(named))
        parents = self.count // self.each
        return index if index is not None and 0 <= index < parents else None

    def made(self, place: int) -> Record:
        """The made record at a place of the pool, its slots open."""
        if place not in self._made:
            chance = random.Random(self._kind * _FAR + place)  # noqa: S311  # invented records are no secret
            fake = _faker()
            fake.seed_instance(chance.getrandbits(64))
            record = self._make(Scene(fake, chance, self._reference))
            (self._made[place],) = apply_changes([record], self._changes)
        return self._made[place]

    @cached_property
    def _make(self) -> Callable[[Scene], Record]:
        return compile_template(expand(self.entity.record, self.vendor.parts))

    def _reference(self, entity: str, chance: random.Random) -> Any:
        ids = ids_of(self.vendor.entities[entity])["id"]
        return ids.render(chance.randrange(count_of(self.vendor, entity, self._records)))

    def key_fields(self) -> list[str]:
        """The fields that hold a record's own id and nothing else."""
        return [name for name, value in self.made(0).items() if value == slot("id") or value == slot("key:id")]

    def write(self, indexes: Iterable[int], select: tuple[str, ...] | None = None) -> list[bytes]:
        """The JSON of the records at `indexes`; of each only the fields in `select`, if that isn't None."""
        cuts, size = self._cuts_of(select), self._size
        written = []
        for index in indexes:
            place = index % size
            text, slots = cuts.get(place) or self._cut(cuts, place, select)
            written.append(text % tuple([slot(index) for slot in slots]))
        return written

    def record(self, index: int, select: tuple[str, ...] | None = None) -> Record:
        """The record at `index`."""
        made: Record = orjson.loads(self.write([index], select)[0])
        return made

    def _cuts_of(self, select: tuple[str, ...] | None) -> dict[int, Cut]:
        if select not in self._cuts:
            if len(self._cuts) >= _SELECTIONS:
                self._cuts.clear()
            self._cuts[select] = {}
        return self._cuts[select]

    def _cut(self, cuts: dict[int, Cut], place: int, select: tuple[str, ...] | None) -> Cut:
        record = self.made(place)
        cuts[place] = cut = self._cut_record(record if select is None else self._chosen(record, select))
        return cut

    def _chosen(self, record: Record, select: tuple[str, ...]) -> Record:
        chosen = self.entity.select
        assert chosen is not None
        if chosen.within:
            inner = record.get(chosen.within, {})
            wanted = (*chosen.always, *select)
            return record | {chosen.within: {name: inner.get(name) for name in wanted if name in inner}}
        wanted = (*chosen.always, *select)
        return {name: value for name, value in record.items() if name in wanted}

    def _cut_record(self, record: Record) -> Cut:
        data, position, pieces, slots = orjson.dumps(record), 0, [], []
        for found in _SLOT.finditer(data):
            whole = bool(found.group(1) and found.group(3))
            key = found.group(2).decode()
            pieces.append(data[position : found.start() if whole else found.start() + len(found.group(1))])
            position = found.end() if whole else found.end() - len(found.group(3))
            slots.append(_written(self._renderer(key), quoted=whole, as_text=key.endswith("|text")))
        pieces.append(data[position:])
        return b"%b".join(piece.replace(b"%", b"%%") for piece in pieces), tuple(slots)

    def _renderer(self, key: str) -> Render:
        parent = self.entity.parent
        above = (ids_of(self.vendor.entities[parent.entity]), self.each) if parent else None
        return renderer(key, self.ids, above, self.clock)


@cache
def _faker() -> Faker:
    """One for a process, seeded anew for every record: making one takes long."""
    return Faker("en_US", use_weighting=False)  # weighting by frequency of names costs half of the time


def _written(render: Render, *, quoted: bool, as_text: bool) -> Callable[[int], bytes]:
    if not quoted:
        return lambda index: str(render(index)).encode()
    if as_text or isinstance(render(0), str):
        return lambda index: f'"{render(index)}"'.encode()
    return lambda index: str(render(index)).encode()


def ids_of(entity: Entity) -> dict[str, Ids]:
    """The kinds of id of an entity."""
    return {name: Ids(form) for name, form in entity.ids.items()}


def count_of(vendor: Vendor, name: str, records: int) -> int:
    """How many records of an entity there are where the sandbox is asked for `records` of each."""
    entity = vendor.entities[name]
    count = max(1, round(records * entity.share))
    if entity.parent is None:
        return count
    parents = count_of(vendor, entity.parent.entity, records)
    return max(1, count // parents) * parents


def expand(template: Any, parts: Mapping[str, Any]) -> Any:
    """`template` with every `{"@part": name, …}` replaced by that part and what stands beside it."""
    if isinstance(template, list):
        return [expand(element, parts) for element in template]
    if not isinstance(template, dict):
        return template
    own = {key: expand(value, parts) for key, value in template.items() if key != "@part"}
    return {**expand(parts[template["@part"]], parts), **own} if "@part" in template else own
