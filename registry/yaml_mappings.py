"""Mapping files in YAML, one per connector: what stands in one, and which of it can be a mapping.

An entry that can't is refused with its line and what to do, the others are kept; only a file that is no such file is
refused whole. Export writes the form that import reads; docs/yaml-mappings.md describes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from rapidfuzz import fuzz, process, utils

from mapping import transforms
from mapping.mapping_set import Mapping as FieldMapping
from mapping.mapping_set import MappingSet, Transform
from mapping.path import InvalidPath, parse
from registry.write_changes import compiles
from registry.yaml_document import Document, Place, read_document
from registry.yaml_form import ConstantEntry, EntityEntry, FileEntry, Refusal, TargetEntry, read_form
from schemas.canonical_model import CanonicalField, load_entities
from schemas.failures import AamError

_MOST_CLASHES: Final = 50
"""Entries of one entity that are told apart as the ones which don't fit to the others."""


@dataclass(frozen=True)
class MappingFile:
    """What a file says. The sets' epoch and revision are 0; those of entities that were refused whole are missing.

    `lines`: entity → its line.
    """

    connector: str
    tenant: str
    sets: tuple[MappingSet, ...]
    refused: tuple[Refusal, ...]
    lines: Mapping[str, int]


def read_mappings(text: str) -> MappingFile:
    """The mappings of `text`. Raises UnreadableYaml if it isn't a mapping file at all."""
    document = read_document(text)
    entry, refused = read_form(document)
    sets: list[MappingSet] = []
    for name, entity in entry.entities.items():
        reader = _EntityReader(document, entry, name, entity)
        sets.extend(filter(None, [reader.read()]))
        refused += reader.refused
    refused.sort(key=lambda refusal: refusal.line)
    lines = {one.entity: document.line(("entities", one.entity)) for one in sets}
    return MappingFile(entry.connector, entry.tenant, tuple(sets), tuple(refused), lines)


@dataclass
class _EntityReader:
    """Makes the set of one entity; `refused` are the entries that didn't fit."""

    document: Document
    file: FileEntry
    name: str
    entity: EntityEntry
    refused: list[Refusal] = field(default_factory=list)

    def read(self) -> MappingSet | None:
        place: Place = ("entities", self.name)
        default = self.entity.canonical_entity
        if default is not None and default not in load_entities():
            self._refuse(place, f"{self.name}: no canonical entity {default!r}", _nearest(default, load_entities()))
            return None
        empty = MappingSet(
            tenant=self.file.tenant,
            connector=self.file.connector,
            entity=self.name,
            epoch=0,
            revision=0,
            primary_key=tuple(self.entity.primary_key),
            ignored=tuple(self.entity.ignored),
        )
        try:
            compiles(empty)
        except AamError as error:
            self._refuse(place, f"{self.name}: {error}", "write source paths as in docs/yaml-mappings.md")
            return None
        placed = self._distinct([*self._fields(), *self._constants()])
        return empty.model_copy(update={"mappings": self._valid(empty, placed)})

    def _fields(self) -> Iterable[tuple[Place, FieldMapping]]:
        for source, entry in self.entity.fields.items():
            place: Place = ("entities", self.name, "fields", source)
            for target in entry if isinstance(entry, list) else [entry]:
                wanted = TargetEntry(canonical=target) if isinstance(target, str) else target
                names = self._target(place, wanted.canonical)
                if names:
                    yield (
                        place,
                        FieldMapping(
                            canonical_entity=names[0],
                            canonical_field=names[1],
                            source_field=source,
                            fallbacks=tuple(wanted.fallbacks),
                            transform=Transform(op=wanted.transform, inputs=tuple(wanted.inputs), params=wanted.params),
                            confidence=wanted.confidence,
                            status=wanted.status,
                        ),
                    )

    def _constants(self) -> Iterable[tuple[Place, FieldMapping]]:
        for canonical, entry in self.entity.constants.items():
            place: Place = ("entities", self.name, "constants", canonical)
            constant = entry if isinstance(entry, ConstantEntry) else ConstantEntry(value=entry)
            names = self._target(place, canonical)
            if names:
                yield (
                    place,
                    FieldMapping(
                        canonical_entity=names[0],
                        canonical_field=names[1],
                        source_field=None,
                        transform=Transform(op="constant", params={"value": constant.value}),
                        confidence=constant.confidence,
                        status=constant.status,
                    ),
                )

    def _target(self, place: Place, canonical: str) -> tuple[str, str] | None:
        """(canonical entity, field) that `canonical` names, if there is one."""
        entity, dot, name = canonical.partition(".")
        # `addresses[].city` is a field, `customer.addresses[].city` one with its entity
        if not dot or entity.endswith("[]"):
            entity, name = self.entity.canonical_entity or "", canonical
        if not entity:
            self._refuse(place, f"{canonical!r} of which canonical entity?", "give the entity a `canonical_entity`")
        elif entity not in load_entities():
            self._refuse(place, f"no canonical entity {entity!r}", _nearest(entity, load_entities()))
        elif name not in _fields_of(entity):
            self._refuse(place, f"no canonical field {entity}.{name}", _nearest(name, _words_for(entity)))
        else:
            return entity, name
        return None

    def _distinct(self, placed: Iterable[tuple[Place, FieldMapping]]) -> list[tuple[Place, FieldMapping]]:
        first: dict[tuple[str, str], tuple[Place, FieldMapping]] = {}
        for place, mapping in placed:
            known = first.setdefault(mapping.target, (place, mapping))
            if known[1] is not mapping:
                what = ".".join(mapping.target)
                line = self.document.line(known[0])
                self._refuse(place, f"{what} is written on line {line} too", "leave one, or make one a fallback")
        return list(first.values())

    def _valid(self, empty: MappingSet, placed: list[tuple[Place, FieldMapping]]) -> tuple[FieldMapping, ...]:
        """The mappings that a worker can use together; those that it can't are refused."""
        if _problem(empty, placed) is None:
            return tuple(mapping for _, mapping in placed)
        usable = []
        for place, mapping in placed:
            problem = _problem(empty, [(place, mapping)])
            if problem is None:
                usable.append((place, mapping))
            else:
                self._refuse(place, problem, _remedy(mapping))
        clashes = 0
        while problem := _problem(empty, usable):
            index = _first_clash(empty, usable)
            clashes += 1
            # Each search takes time: after some, what follows is not looked at one by one.
            last = index + 1 if clashes < _MOST_CLASHES else len(usable)
            for place, _ in usable[index:last]:
                self._refuse(place, f"{problem} (with an entry above it)", "map one of the two")
            del usable[index:last]
        return tuple(mapping for _, mapping in usable)

    def _refuse(self, place: Place, problem: str, remedy: str) -> None:
        self.refused.append(Refusal(self.document.line(place), problem, remedy))


def _problem(empty: MappingSet, placed: Sequence[tuple[Place, FieldMapping]]) -> str | None:
    try:
        compiles(empty.model_copy(update={"mappings": tuple(mapping for _, mapping in placed)}))
    except (AamError, transforms.Unconvertible) as error:
        return str(error)
    return None


def _first_clash(empty: MappingSet, placed: Sequence[tuple[Place, FieldMapping]]) -> int:
    """The index of the first mapping that doesn't fit to those before it; there is one."""
    fits, clashes = 0, len(placed)
    while clashes - fits > 1:
        middle = (fits + clashes) // 2
        if _problem(empty, placed[:middle]) is None:
            fits = middle
        else:
            clashes = middle
    return clashes - 1


def _remedy(mapping: FieldMapping) -> str:
    for path in (mapping.source_field, *mapping.fallbacks, *mapping.transform.inputs):
        try:
            parse(path or "x")
        except InvalidPath:
            return 'quote a key with other characters as JSON: properties."a.b"'
    if len({mapping.source_field, *mapping.fallbacks}) <= len(mapping.fallbacks):
        return "name each path once"
    kind = _fields_of(mapping.canonical_entity)[mapping.canonical_field].kind
    ops = sorted(op for op, kinds in transforms._KINDS.items() if kind in kinds)
    return f"what gives a {kind.value if kind else 'record'}: {', '.join(ops)}"


def _nearest(word: str, choices: Iterable[str] | Mapping[str, str]) -> str:
    """The up to three names that look most like `word`; of a mapping, the names that its keys stand for."""
    names = choices if isinstance(choices, Mapping) and all(isinstance(v, str) for v in choices.values()) else None
    found = process.extract(
        word, list(choices), scorer=fuzz.WRatio, processor=utils.default_process, limit=10, score_cutoff=60
    )
    nearest = list(dict.fromkeys(names[choice] if names else choice for choice, _, _ in found))[:3]
    return f"nearest: {', '.join(nearest)}" if nearest else "schemas/canonical has all"


@cache
def _fields_of(entity: str) -> Mapping[str, CanonicalField]:
    return dict(load_entities()[entity].targets())


@cache
def _words_for(entity: str) -> Mapping[str, str]:
    """Names and synonyms of the fields of `entity` → their paths."""
    words = {synonym: path for path, known in _fields_of(entity).items() for synonym in known.synonyms}
    return words | {path: path for path in _fields_of(entity)}
