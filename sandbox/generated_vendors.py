"""Vendors by number, as many as wanted: fields named as real vendors name theirs, each with its canonical counterpart
where it has one (the truth), made by rules from `sandbox/vocabulary.json`, or as a file of fields says.

Pure: `generate_vendor(7)` is the same vendor everywhere. Its documents are made in `sandbox.vendor_documents`.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from mapping.path import EACH, Step, parse, quoted
from sandbox.naming import Style, draw_style

FIELDS_PER_ENTITY: Final = 50
_VOCABULARY: Final = Path(__file__).parent / "vocabulary.json"
_PRESENT: Final = 0.85


@dataclass(frozen=True, slots=True)
class MadeField:
    """One field. `path` as in a mapping; `template` makes its values; no `canonical_field`: it has no counterpart."""

    path: str
    template: Any
    canonical_field: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class MadeEntity:
    """One kind of record. `canonical_entity` is None where a file of fields doesn't say it."""

    name: str
    canonical_entity: str | None
    fields: tuple[MadeField, ...]

    def template(self) -> dict[str, Any]:
        """The record template that all fields make together."""
        tree: dict[Any, Any] = {}
        for field in self.fields:
            steps = parse(field.path).steps
            inner = tree
            for step in steps[:-1]:
                deeper = inner.setdefault(step, {})
                if not isinstance(deeper, dict):
                    deeper = inner[step] = {}
                inner = deeper
            if not isinstance(inner.get(steps[-1]), dict):
                inner[steps[-1]] = field.template
        return {str(step): _grown(value) for step, value in tree.items()}


@dataclass(frozen=True, slots=True)
class MadeVendor:
    """One vendor: its name, its ways, its entities."""

    name: str
    style: Style
    entities: tuple[MadeEntity, ...]
    number: int


def _grown(tree: Any) -> Any:
    if not isinstance(tree, dict) or not any(step is EACH or isinstance(step, str) for step in tree):
        return tree
    if EACH in tree:
        return {"@list": [1, 2], "of": _grown(tree[EACH])}
    return tree if any(str(step).startswith("@") for step in tree) else {s: _grown(v) for s, v in tree.items()}


@cache
def vocabulary() -> dict[str, Any]:
    """The dictionary: canonical field → the names it goes by, and how its values are made."""
    loaded: dict[str, Any] = json.loads(_VOCABULARY.read_text(encoding="utf-8"))
    return loaded


def generate_vendor(number: int, *, entities: int = 1, fields: int = FIELDS_PER_ENTITY, seed: int = 7) -> MadeVendor:
    """Vendor `number` (from 1), with so many entities of about so many fields each."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  # invented names are no secret
    style = draw_style(chance)
    kinds = chance.sample(sorted(vocabulary()["entities"]), entities)
    made = tuple(_entity(kind, style, chance, fields) for kind in kinds)
    return MadeVendor(f"v{number:04}", style, made, number)


def generate_vendors(
    count: int, *, entities: int = 1, fields: int = FIELDS_PER_ENTITY, seed: int = 7
) -> Iterator[MadeVendor]:
    """Vendors 1 to `count`."""
    for number in range(1, count + 1):
        yield generate_vendor(number, entities=entities, fields=fields, seed=seed)


def _entity(kind: str, style: Style, chance: random.Random, size: int) -> MadeEntity:
    words = vocabulary()["entities"][kind]
    called = _drawn(words["called"], chance).replace(" ", "_")
    maker = _FieldMaker(kind, called, style, chance)
    maker.add_key()
    known = {**words["fields"], **vocabulary()["common"]}
    for field, (names, template, *shares) in known.items():
        if chance.random() < (shares[0] if shares else _PRESENT):
            maker.add_known(field, names, template)
    if chance.random() < words.get("address", 0):
        maker.add_address()
    maker.fill_up(size)
    return MadeEntity(called, kind, tuple(maker.fields))


class _FieldMaker:
    """Collects the fields of one entity, no two of one path."""

    def __init__(self, kind: str, called: str, style: Style, chance: random.Random) -> None:
        self.fields: list[MadeField] = []
        self._kind, self._called, self._style, self._chance = kind, called.replace("_", " "), style, chance
        self._taken: set[str] = set()

    def add_key(self) -> None:
        """The record's own id: no canonical field has it, the event's envelope does."""
        self._add("id" if self._style.case in ("snake", "camel") else self._style.name("id"), "@id", None, "")

    def add_known(self, field: str, names: str, template: Any) -> None:
        """A field that has a canonical counterpart, under one of its names."""
        words, value = _drawn(names, self._chance), self._style.value(template, self._chance)
        text = self._documented(names)
        target = field.removesuffix("[]")
        if field.endswith("[]") and isinstance(template, str) and not template.startswith("@some"):
            return self._add_list(words, value, target, text)
        if template == "@ID" and self._style.nests and self._chance.random() < 0.5:
            above = self._named(words.removesuffix(" id"))
            self._add(f"{above}.{self._style.name('id')}", value, target, text)
            return self._add(f"{above}.{self._style.name('name')}", "@full_name", None, "")
        return self._add(
            self._named(words) + ("[]" if str(template).startswith("@some") else ""), _one(value), target, text
        )

    def _add_list(self, words: str, value: Any, target: str, text: str) -> None:
        path = self._named(words)
        if self._style.lists == "scalar":
            return self._add(path, value, target, text)
        if self._style.lists == "list":
            return self._add(f"{path}[]", value, target, text)
        key = self._style.name(self._chance.choice(("value", "value", words.rsplit(maxsplit=1)[-1])))
        self._add(f"{path}[].{key}", value, target, text)
        return self._add(f"{path}[].{self._style.name('type')}", "@pick work|home|main", None, "")

    def add_address(self) -> None:
        """An address: an object of its own, or fields with a prefix or without."""
        above = self._chance.choice(("address", "billing address", "mailing address", "location", "postal address"))
        way = "object" if self._style.nests else self._chance.choice(("prefixed", "plain"))
        first = above.partition(" ")[0]
        for field, (names, template) in vocabulary()["address"].items():
            words = _drawn(names, self._chance)
            path = self._named(words if way == "plain" or words.startswith(first) else f"{first} {words}")
            if way == "object":
                path = f"{self._named(above)}.{quoted(self._style.name(words))}"
            self._add(path, template, f"addresses[].{field}", self._documented(names))

    def fill_up(self, size: int) -> None:
        """Fields of the vendor's own, until there are `size`."""
        own = [(name, template) for names, template in vocabulary()["own"] for name in names.split("|")]
        for name, template in self._chance.sample(own, len(own)):
            if len(self.fields) >= size:
                return
            path = self._named(name, suffix=self._style.custom_suffix)
            self._add(path, self._style.value(template, self._chance), None, self._documented(name))

    def _named(self, words: str, suffix: str = "") -> str:
        style = self._style
        if style.entity_prefix and not words.startswith(self._called):
            words = f"{self._called} {words}"
        name = style.name(style.shortened(words, vocabulary()["abbreviations"], self._chance))
        name = (f"{style.prefix}_" if style.prefix else "") + name + suffix
        return (f"{style.wrapper}." if style.wrapper else "") + quoted(name)

    def _documented(self, names: str) -> str:
        if not self._style.documents:
            return ""
        return f"{_drawn(names, self._chance).capitalize()} of the {self._called}."

    def _add(self, path: str, template: Any, target: str | None, text: str) -> None:
        if path not in self._taken:
            self._taken.add(path)
            self.fields.append(MadeField(path, template, target, text))


def _drawn(names: str, chance: random.Random) -> str:
    """One of the names; the first ones are the usual ones."""
    choices = names.split("|")
    return chance.choices(choices, [1 / (place + 2) for place in range(len(choices))])[0]


def _one(template: Any) -> Any:
    """The template of one element of a list of words."""
    if isinstance(template, str) and template.startswith("@some"):
        return "@pick " + template.split(" ", 2)[2]
    return template


def leaf_paths(template: Any, above: Sequence[Step] = ()) -> Mapping[str, Any]:
    """Path → template of every leaf of a record template, in order."""
    found: dict[str, Any] = {}
    if isinstance(template, dict) and "@list" in template:
        found |= leaf_paths(template["of"], (*above, EACH))
    elif isinstance(template, dict) and not any(key.startswith("@") for key in template):
        for key, value in template.items():
            found |= leaf_paths(value, (*above, key))
    else:
        text = ""
        for step in above:
            text += "[]" if step is EACH else ("." if text else "") + quoted(str(step))
        found[text] = template
    return found
