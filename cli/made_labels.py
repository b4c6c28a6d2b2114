"""Made-up vendors as labels, to fit with: they teach what it is worth that many vendors agree, or that many know a name
as nothing. Public labels have few vendors of any entity, so they can't.

Their names come from the sandbox's dictionary, of half of its entities: the other half shows whether it carries over.
"""

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Final

from inference.label_rows import LabelRow
from sandbox.generated_vendors import MadeVendor, generate_vendor
from sandbox.vendor_documents import true_fields

TAUGHT: Final = frozenset({"account", "activity", "customer", "lead", "payment", "subscription"})
"""The entities that the fit sees."""

_VENDORS: Final = (24, 60, 150)  # that know of each other: few, some and many of an entity
_FIRST_SEED: Final = 1_000  # far from any that somebody plays
_MISTAKES: Final = 0.01  # share of fields that somebody has answered wrongly
_MOMENTS: Final = {"iso": "date-time", "iso_ms": "date-time", "iso_offset": "date-time", "date": "date"}


def made_rows() -> list[LabelRow]:
    """All of them, the same ones every time; each group is an origin of its own."""
    return [row for group, vendors in enumerate(_VENDORS) for row in _group(_FIRST_SEED + group, vendors)]


def _group(seed: int, vendors: int) -> Iterator[LabelRow]:
    chance = random.Random(seed)  # noqa: S311  # invented mistakes are no secret
    made = (generate_vendor(number, seed=seed) for number in count(1))
    for vendor in islice((one for one in made if one.entities[0].canonical_entity in TAUGHT), vendors):
        yield from _rows(vendor, seed, chance)


def _rows(made: MadeVendor, seed: int, chance: random.Random) -> Iterator[LabelRow]:
    entity = str(made.entities[0].canonical_entity)
    fields = list(true_fields(made, seed))
    templates = {field.path: field.template for field in made.entities[0].fields}
    for field in fields:
        answered = chance.choice(fields) if chance.random() < _MISTAKES else field
        yield LabelRow(
            vendor=made.name,
            vendor_entity=field.entity,
            source_field=field.field,
            source_type=_type(field.json_type, templates[field.field]),
            canonical_entity=entity,
            canonical_field=answered.canonical_field,
            origin=f"made-up vendors {seed}",
            same_name=False,
        )


def _type(json_type: str, template: Any) -> str:
    """With the format, where a vendor's schema would tell it."""
    words = template.split() if isinstance(template, str) else []
    form = _MOMENTS.get(words[1]) if len(words) > 1 and words[0] in ("@created", "@updated") else None
    return f"{json_type}:{form}" if form else json_type
