"""How a made-up vendor names things: case, abbreviations, prefixes, wrappers, and the forms of its times and money."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Case = str

_CASES: Final = ("snake",) * 40 + ("camel",) * 30 + ("pascal",) * 10 + ("upper",) * 6 + ("lower",) * 6 + (
    ("kebab",) * 4 + ("spaced",) * 4
)  # fmt: skip
_TIMES: Final = (
    ("iso",) * 45 + ("iso_ms",) * 20 + ("iso_offset",) * 10 + ("epoch",) * 12 + ("epoch_ms",) * 8 + ("space",) * 5
)
_WRAPPERS: Final = (None,) * 13 + ("attributes", "attributes", "properties", "properties", "fields", "data", "record")
_CODES: Final = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Style:
    """One vendor's ways."""

    case: Case
    abbreviates: float
    entity_prefix: bool
    prefix: str
    custom_suffix: str
    wrapper: str | None
    time: str
    date: str
    money: str
    id: str
    lists: str
    nests: bool
    documents: bool

    def name(self, words: str) -> str:
        """`first name` as this vendor writes it."""
        parts = words.split()
        if self.case == "camel":
            return parts[0].lower() + "".join(part.capitalize() for part in parts[1:])
        if self.case == "pascal":
            return "".join(part.capitalize() for part in parts)
        if self.case == "spaced":
            return " ".join(part.capitalize() for part in parts)
        joiner = {"kebab": "-", "lower": ""}.get(self.case, "_")
        text = joiner.join(parts).lower()
        return text.upper() if self.case == "upper" else text

    def shortened(self, words: str, abbreviations: Mapping[str, str], chance: random.Random) -> str:
        """`words` with some of them abbreviated."""
        return " ".join(
            abbreviations[word] if word in abbreviations and chance.random() < self.abbreviates else word
            for word in words.split()
        )

    def value(self, template: Any, chance: random.Random) -> Any:
        """A template of the vocabulary with its @TIME, @DATE, @MONEY and @ID in this vendor's form."""
        if not isinstance(template, str) or not template.startswith(("@TIME", "@DATE", "@MONEY", "@ID")):
            return template
        kind, *rest = template.split()
        share = f" {rest.pop()}" if rest and rest[-1].startswith("?") else ""
        if kind == "@ID":
            return {"int": "@int 1000 999999", "hex": "@token 24 hex", "uuid": "@uuid4"}[self.id] + share
        if kind == "@MONEY":
            return self._money(rest, share)
        form = self.time if kind == "@TIME" else self.date
        if rest == ["updated"]:
            return f"@updated {form}{share}"
        return f"@created {form} {'' if rest == ['created'] else ' '.join(rest)}".rstrip() + share

    def _money(self, bounds: Sequence[str], share: str) -> str:
        least, most = bounds
        if self.money == "text":
            return f"{{float {least} {most} 2}}"
        if self.money == "cents":
            return f"@int {int(least) * 100} {int(most) * 100}{share}"
        return f"@float {least} {most} 2{share}"


def draw_style(chance: random.Random) -> Style:
    """A vendor's ways, as often as real vendors have them, to the eye of whoever wrote the shares."""
    return Style(
        case=chance.choice(_CASES),
        abbreviates=chance.choice((0.0, 0.0, 0.0, 0.3, 0.7)),
        entity_prefix=chance.random() < 0.12,
        prefix=chance.choice(_CODES) + chance.choice(_CODES) if chance.random() < 0.1 else "",
        custom_suffix=chance.choice(("",) * 5 + ("__c", "_cf")),
        wrapper=chance.choice(_WRAPPERS),
        time=chance.choice(_TIMES),
        date=chance.choice(("date",) * 7 + ("iso", "iso", "epoch")),
        money=chance.choice(("number",) * 6 + ("text", "text", "cents")),
        id=chance.choice(("int", "int", "hex", "uuid")),
        lists=chance.choice(("scalar",) * 11 + ("list",) * 4 + ("objects",) * 5),
        nests=chance.random() < 0.5,
        documents=chance.random() < 0.5,
    )


PLAIN_STYLE: Final = Style(
    "snake", 0.0, False, "", "", None, time="iso", date="date", money="number", id="hex", lists="scalar", nests=False,
    documents=False,
)  # fmt: skip
"""That of vendors whose names come from a file: nothing is left to choose."""
