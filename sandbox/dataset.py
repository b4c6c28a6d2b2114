"""The records of one entity: a pool made once by its template, and any number of records from it by index.

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
        self._records, self._seed, self._changes = records, seed, changes
        self._cuts: dict[tuple[str, ...] | None, list[Cut]] = {}

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

    @cached_property
    def pool(self) -> list[Record]:
        """Made records with their slots open."""
        kind = zlib.crc32(f"{self.vendor.name}/{self.entity.like or self.name}".encode())
        scene_random = random.Random(self._seed ^ kind)  # noqa: S311  # invented records are no secret
        fake = _faker()
        fake.seed_instance(scene_random.getrandbits(64))
        make = compile_template(expand(self.entity.record, self.vendor.parts))
        pool = [make(Scene(fake, scene_random, self._reference)) for _ in range(min(self.vendor.pool, self.count))]
        return apply_changes(pool, self._changes)

    def _reference(self, entity: str, chance: random.Random) -> Any:
        ids = ids_of(self.vendor.entities[entity])["id"]
        return ids.render(chance.randrange(count_of(self.vendor, entity, self._records)))

    def key_fields(self) -> list[str]:
        """The fields that hold a record's own id and nothing else."""
        return [name for name, value in self.pool[0].items() if value == slot("id") or value == slot("key:id")]

    def write(self, indexes: Iterable[int], select: tuple[str, ...] | None = None) -> list[bytes]:
        """The JSON of the records at `indexes`; of each only the fields in `select`, if that isn't None."""
        cuts = self._cut(select)
        size = len(cuts)
        written = []
        for index in indexes:
            text, slots = cuts[index % size]
            written.append(text % tuple([slot(index) for slot in slots]))
        return written

    def record(self, index: int, select: tuple[str, ...] | None = None) -> Record:
        """The record at `index`."""
        made: Record = orjson.loads(self.write([index], select)[0])
        return made

    def _cut(self, select: tuple[str, ...] | None) -> list[Cut]:
        if select not in self._cuts:
            if len(self._cuts) >= _SELECTIONS:
                self._cuts.clear()
            pool = self.pool if select is None else [self._chosen(record, select) for record in self.pool]
            self._cuts[select] = [self._cut_record(record) for record in pool]
        return self._cuts[select]

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
    """One for all pools of a process, seeded anew for each: making one takes longer than a small pool."""
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
