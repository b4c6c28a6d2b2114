"""The shipped model, on a small world of its own: right where it should be sure, calm about everything hostile."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mapping.candidates import FieldDescription, KnownMapping, TargetField, Vectors
from mapping.corpus import Corpus
from mapping.decide import Bands
from mapping.matcher import Matcher
from mapping.score_model import load_model, write_model

TARGETS = [
    TargetField("customer", name, kind)
    for name, kind in (
        ("first_name", "string"),
        ("last_name", "string"),
        ("emails", "string"),
        ("created_at", "timestamp"),
        ("addresses[].city", "string"),
        ("balance", "decimal"),
    )
]
KNOWN = [
    KnownMapping(vendor, "client", path, "string", "customer", field)
    for vendor in ("alpha", "beta", "gamma")
    for path, field in (
        ("firstName", "first_name"),
        ("lastName", "last_name"),
        ("emailAddress", "emails"),
        ("createdAt", "created_at"),
        ("address.city", "addresses[].city"),
        ("etag", None),
    )
]
HOSTILE = (
    "",
    "x" * 5000,
    "🎉🎉",
    "\u202eeman\u202c",
    "العنوان",
    "name'; DROP TABLE customer;--",
    "a.b.c" * 300,
    "[]" * 50,
    "\ud800",
)


class LetterEmbedder:
    """Vectors of letter counts: quick, and no model."""

    name = "letters"
    dimension = 64

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                rows[row, ord(letter) % self.dimension] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        return unit


@pytest.fixture
def matcher() -> Matcher:
    return Matcher(load_model(), LetterEmbedder(), Corpus(KNOWN))


def _fields(*paths: str) -> list[FieldDescription]:
    return [FieldDescription(path) for path in paths]


def test_a_name_that_other_vendors_use_is_found(matcher: Matcher) -> None:
    found = matcher.match_fields("new", "person", "customer", _fields("first_name", "email", "created"), TARGETS)
    assert [match.candidates[0].target.name for match in found] == ["first_name", "emails", "created_at"]
    assert all(match.candidates[0].probability > match.nothing for match in found)


def test_what_some_vendors_agree_about_is_sure_whatever_the_name() -> None:
    def asked(vendors: int) -> tuple[float, float]:
        known = [
            KnownMapping(f"v{number}", "person", path, "string", "customer", field)
            for number in range(vendors)
            for path, field in (("rufzeichen", "last_name"), ("kennung", None))
        ]
        matcher = Matcher(load_model(), LetterEmbedder(), Corpus(known))
        name, other = matcher.match_fields("new", "person", "customer", _fields("rufzeichen", "kennung"), TARGETS)
        assert name.candidates[0].target.name == "last_name" or not vendors
        return name.candidates[0].probability, other.nothing

    nobody, one, few, many = asked(0), asked(1), asked(3), asked(12)
    assert nobody[1] < one[1] < few[1] < many[1]
    assert min(few) > 0.95
    assert nobody[1] < Bands().nothing


def test_what_others_know_as_nothing_is_likelier_nothing(matcher: Matcher) -> None:
    known, unknown = (
        Matcher(load_model(), LetterEmbedder(), Corpus(rows)).match_fields(
            "new", "person", "customer", _fields("etag"), TARGETS
        )[0]
        for rows in (KNOWN, [mapping for mapping in KNOWN if mapping.canonical_field])
    )
    assert known.nothing > unknown.nothing


def test_probabilities_are_probabilities_for_any_name(matcher: Matcher) -> None:
    found = matcher.match_fields("new", "person", "customer", _fields(*HOSTILE), TARGETS)
    assert [match.path for match in found] == list(HOSTILE)
    for match in found:
        assert all(0 <= candidate.probability <= 1 for candidate in match.candidates)
        assert 0 <= match.nothing <= 1 - match.candidates[0].probability + 1e-9
        assert match.candidates[0].probability < 0.85


@pytest.mark.parametrize(
    ("format_", "target"), [("email", "emails"), ("epoch-seconds", "created_at"), ("currency", None)]
)
def test_what_values_look_like_speaks_for_such_fields_and_against_others(
    matcher: Matcher, format_: str | None, target: str | None
) -> None:
    def likely(told: str | None) -> dict[str, float]:
        field = FieldDescription("registered", "integer" if told == "epoch-seconds" else "string", format=told)
        (match,) = matcher.match_fields("new", "person", "customer", [field], TARGETS)
        return {candidate.target.name: candidate.probability for candidate in match.candidates}

    plain, told = likely(None), likely(format_)
    others = [name for name in plain if name != target]
    assert sum(told[name] for name in others) <= sum(plain[name] for name in others)
    assert target is None or told[target] > plain[target]


def test_ten_thousand_fields_take_bounded_time(matcher: Matcher) -> None:
    started = time.process_time()
    found = matcher.match_fields("new", "person", "customer", _fields(*(f"f{i}" for i in range(10_000))), TARGETS)
    assert len(found) == 10_000
    assert time.process_time() - started < 30


def test_the_same_question_has_the_same_answer(matcher: Matcher) -> None:
    again = Matcher(load_model(), LetterEmbedder(), Corpus(KNOWN))
    fields = _fields("name", "mail", "etag")
    assert matcher.match_fields("new", "p", "customer", fields, TARGETS) == again.match_fields(
        "new", "p", "customer", fields, TARGETS
    )


def test_over_another_corpus_it_answers_as_one_of_its_own(matcher: Matcher) -> None:
    other = [replace(mapping, connector="else", path=f"the {mapping.path}") for mapping in KNOWN]
    matcher.calibrate({"customer": TARGETS})
    fields = _fields("first_name", "the email", "etag")
    views = matcher.over(Corpus(other)), Matcher(load_model(), LetterEmbedder(), Corpus(other)), matcher
    shared, fresh, first = (view.match_fields("new", "person", "customer", fields, TARGETS) for view in views)
    assert shared == fresh != first


def test_a_hidden_vendor_is_no_evidence(matcher: Matcher) -> None:
    hidden = matcher.hiding(["alpha", "beta", "gamma"])
    empty = Matcher(load_model(), LetterEmbedder(), Corpus())
    fields = _fields("first_name", "etag")
    ours, theirs = (m.match_fields("new", "p", "customer", fields, TARGETS) for m in (hidden, empty))
    for one, other in zip(ours, theirs, strict=True):
        assert one.candidates[0].probability == pytest.approx(other.candidates[0].probability)
        assert one.nothing == pytest.approx(other.nothing)


def test_without_targets_or_fields_there_is_nothing(matcher: Matcher) -> None:
    assert matcher.match_fields("new", "p", "customer", [], TARGETS) == []
    assert matcher.match_fields("new", "p", "customer", _fields("a"), [])[0].nothing == 1.0


def test_a_model_survives_being_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first.gz", tmp_path / "second.gz"
    write_model(load_model(), first)
    write_model(load_model(first), second)
    assert load_model(first) == load_model()
    assert first.read_bytes() == second.read_bytes()


def test_a_corpus_of_decisions_teaches_how_far_to_believe_it(matcher: Matcher) -> None:
    names = (("firstName", "first_name"), ("lastName", "last_name"), ("emailAddress", "emails"), ("etag", None))
    decided = [
        KnownMapping(f"vendor{n}", "client", f"{path}{'' if n % 2 else n}", "string", "customer", field)
        for n in range(60)
        for path, field in names
    ]
    fresh = Matcher(matcher.model, LetterEmbedder(), Corpus(decided))
    shipped = fresh.match_fields("new", "client", "customer", [FieldDescription("lastName", "string")], TARGETS)[0]
    assert fresh.calibrate({"customer": TARGETS}) == len(decided)
    assert fresh.version.startswith(f"{fresh.model.version}+")
    local = fresh.match_fields("new", "client", "customer", [FieldDescription("lastName", "string")], TARGETS)[0]
    assert local.candidates[0].probability != shipped.candidates[0].probability
    assert [c.target.name for c in local.candidates] == [c.target.name for c in shipped.candidates]
    none = Matcher(matcher.model, LetterEmbedder(), Corpus(KNOWN))
    assert (none.calibrate({"customer": TARGETS}), none.version) == (0, none.model.version)
