"""The generators that record templates name: invented people, companies, money, times and ids, from a seeded `Scene`.

Ids and times are not made here: a generator leaves a *slot* in the record, a marked text that `sandbox.dataset` fills
for every index, so that a few hundred made records stand for a million different ones.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from faker import Faker

SLOT_START, SLOT_END = "\ue000", "\ue001"
_DAY: Final = 86_400
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ALPHABETS: Final = {"hex": "0123456789abcdef", "upper": _LETTERS[26:], "digits": "0123456789"}

Build = Callable[[str], Callable[["Scene"], Any]]
Reference = Callable[[str, random.Random], Any]
"""(entity, random) → the id of one of that entity's records."""


def slot(key: str) -> str:
    """The mark in a record that is filled per index; keys are those of `sandbox.slots`."""
    return f"{SLOT_START}{key}{SLOT_END}"


@lru_cache(maxsize=1)
def _faker_methods() -> frozenset[str]:
    return frozenset(dir(Faker("en_US")))


@dataclass(slots=True)
class Person:
    """Who a record is about; all parts fit together."""

    first: str
    last: str
    company: str
    domain: str

    @property
    def username(self) -> str:
        return f"{self.first}.{self.last}".lower().replace(" ", "").replace("'", "")


@dataclass(slots=True)
class Scene:
    """What one record is made from: the same seed, the same record."""

    fake: Faker
    random: random.Random
    reference: Reference
    objects: list[dict[str, Any]] = field(default_factory=list)
    person: Person | None = None

    @staticmethod
    def fakes(name: str) -> bool:
        """Whether Faker has a provider of that name."""
        return name in _faker_methods()

    def who(self) -> Person:
        """The person of this record, invented when first asked for."""
        if self.person is None:
            company = str(self.fake.company())
            word = "".join(c for c in company.split(maxsplit=1)[0].lower() if c.isalnum())
            self.person = Person(self.fake.first_name(), self.fake.last_name(), company, f"{word}.example")
        return self.person

    @contextmanager
    def somebody_else(self) -> Iterator[None]:
        """Inside, the person is another one."""
        kept, self.person = self.person, None
        try:
            yield
        finally:
            self.person = kept

    def look_up(self, path: str) -> Any:
        """The value at `path` of the nearest object around that has its first step; None if none has."""
        first, *rest = path.split(".")
        for made in reversed(self.objects):
            if first in made:
                return _walk(made[first], rest)
        return None


def _walk(value: Any, steps: list[str]) -> Any:
    for position, step in enumerate(steps):
        if isinstance(value, list):
            return [_walk(element, steps[position:]) for element in value]
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _plain(make: Callable[[Scene], Any]) -> Build:
    return lambda _rest: make


def _pick(rest: str) -> Callable[[Scene], Any]:
    choices = rest.split("|")
    return lambda scene: scene.random.choice(choices)


def _any(rest: str) -> Callable[[Scene], Any]:
    choices = json.loads(rest)
    return lambda scene: scene.random.choice(choices)


def _integer(rest: str) -> Callable[[Scene], Any]:
    least, most, *step = map(int, rest.split())
    return lambda scene: scene.random.randrange(least, most + 1, *step)


def _float(rest: str) -> Callable[[Scene], Any]:
    least, most, digits = rest.split()
    low, high, places = float(least), float(most), int(digits)
    return lambda scene: round(scene.random.uniform(low, high), places)


def _chance(rest: str) -> Callable[[Scene], Any]:
    share = float(rest)
    return lambda scene: scene.random.random() < share


def _token(rest: str) -> Callable[[Scene], Any]:
    length, *alphabet = rest.split()
    letters = _ALPHABETS.get("".join(alphabet), _LETTERS)
    return lambda scene: "".join(scene.random.choices(letters, k=int(length)))


def _some(rest: str) -> Callable[[Scene], Any]:
    most, _, words = rest.partition(" ")
    choices = words.split("|")
    return lambda scene: scene.random.sample(choices, scene.random.randint(0, int(most)))


def _time(rest: str) -> Callable[[Scene], Any]:
    """`created FORMAT`, or `… FORMAT DAYS` later, or `… FORMAT LEAST MOST` days later."""
    form, *days = rest.split()
    least, most = (float(days[0]), float(days[-1])) if days else (0.0, 0.0)

    def make(scene: Scene) -> str:
        offset = scene.random.randint(int(least * _DAY), int(most * _DAY)) if most > least else int(least * _DAY)
        return slot(f"time:{offset}:{form}")

    return make


def _updated(rest: str) -> Callable[[Scene], Any]:
    return lambda _scene: slot(f"time:{UPDATED_AFTER}:{rest}")


def _slot(kind: str) -> Build:
    def build(rest: str) -> Callable[[Scene], Any]:
        key = f"{kind}:{rest}" if rest else kind
        return lambda _scene: slot(key)

    return build


def _ref(rest: str) -> Callable[[Scene], Any]:
    entity, *form = rest.split()
    if form:
        return lambda scene: str(scene.reference(entity, scene.random))
    return lambda scene: scene.reference(entity, scene.random)


def _calculated(calculate: Callable[..., Any]) -> Build:
    def build(rest: str) -> Callable[[Scene], Any]:
        paths = rest.split()
        return lambda scene: calculate(*(_operand(scene, path) for path in paths))

    return build


def _operand(scene: Scene, path: str) -> Any:
    try:
        return json.loads(path)
    except ValueError:
        return scene.look_up(path)


UPDATED_AFTER: Final = 6 * 3_600
"""Seconds from a record's creation to its last change: the same for all, so that both have one order."""

GENERATORS: Final[dict[str, Build]] = {
    "pick": _pick,
    "any": _any,
    "int": _integer,
    "float": _float,
    "chance": _chance,
    "token": _token,
    "some": _some,
    "ref": _ref,
    "id": _slot("id"),
    "key": _slot("key"),
    "parent": _slot("parent"),
    "n": _slot("n"),
    "created": _time,
    "updated": _updated,
    "first_name": _plain(lambda scene: scene.who().first),
    "last_name": _plain(lambda scene: scene.who().last),
    "full_name": _plain(lambda scene: f"{scene.who().first} {scene.who().last}"),
    "username": _plain(lambda scene: scene.who().username),
    "email": _plain(lambda scene: f"{scene.who().username}@{scene.who().domain}"),
    "company": _plain(lambda scene: scene.who().company),
    "domain": _plain(lambda scene: scene.who().domain),
    "website": _plain(lambda scene: f"https://www.{scene.who().domain}"),
    "title": _plain(lambda scene: str(scene.fake.sentence(nb_words=5)).rstrip(".")),
    "digits": lambda rest: lambda scene: scene.fake.numerify(rest),
    "sum": _calculated(sum),
    "times": _calculated(lambda a, b: a * b),
    "plus": _calculated(lambda a, b: a + b),
    "minus": _calculated(lambda a, b: a - b),
    "percent": _calculated(lambda a, rate: round(a * rate / 100)),
    "lower": _calculated(lambda text: str(text).lower()),
}
