"""Decided sources judged by what is known of the others."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from mapping import jackknife as judged
from mapping.candidates import KnownMapping, TargetField
from mapping.jackknife import jackknife
from mapping.pair_features import Question

TARGETS = {"customer": [TargetField("customer", "emails"), TargetField("customer", "phones")]}


class Judge:
    """Takes every field for `emails`, with 0.7; remembers what it was asked, and what was hidden."""

    def __init__(self) -> None:
        self.hidden: set[str] = set()
        self.asked: list[tuple[str, list[str], set[str]]] = []

    def hiding(self, connectors: Iterable[str]) -> "Judge":
        self.hidden = set(connectors)
        return self

    def score(self, question: Question) -> Any:
        self.asked.append((question.connector, [field.path for field in question.fields], self.hidden))
        return None, np.tile([0.7, 0.2], (len(question.fields), 1)), np.full(len(question.fields), 0.25)


def known(connector: str, path: str, field: str | None, **other: Any) -> KnownMapping:
    return KnownMapping(connector, "person", path, "string", "customer", field, **other)


def test_each_decided_source_is_judged_without_its_connector() -> None:
    judge = Judge()
    found = jackknife(
        judge,
        [
            known("a", "mail", "emails"),
            known("a", "mail", "phones"),  # several answers: each is right
            known("a", "tel", "phones"),
            known("a", "etag", None),
            known("b", "mail", "emails"),
            known("seeded", "mail", "emails", seeded=True),
            KnownMapping("a", "order", "x", None, "order", "total"),  # of an entity that is not asked about
        ],
        TARGETS,
    )
    assert sorted(judge.asked) == [("a", ["mail", "tel", "etag"], {"a"}), ("b", ["mail"], {"b"})]
    of_a = found.sources == found.sources[np.flatnonzero(found.is_nothing)[0]]
    assert found.candidate.tolist() == [0.7] * 4
    assert found.is_candidate[of_a].tolist() == [True, False, False]
    assert found.is_nothing[of_a].tolist() == [False, False, True]
    assert found.nothing.tolist() == [0.25] * 4


def test_of_very_many_the_same_few_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "MOST_FIELDS", 20)
    many = [known(f"v{number}", "mail", "emails") for number in range(100)]
    first, second = Judge(), Judge()
    assert len(jackknife(first, many, TARGETS).sources) == 20
    jackknife(second, reversed(many), TARGETS)
    assert first.asked == second.asked
    monkeypatch.setattr(judged, "MOST_SOURCES", 10)
    assert len(jackknife(Judge(), many, TARGETS).sources) == 10


def test_nothing_decided_gives_no_outcome() -> None:
    assert len(jackknife(Judge(), [], TARGETS).sources) == 0
