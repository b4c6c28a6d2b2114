"""Which canonical entity a source entity is: by its name, by its fields, or none."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest

from mapping.candidates import FieldDescription, KnownMapping, TargetField, Vectors
from mapping.corpus import Corpus
from mapping.decide import Bands
from mapping.matcher import UNNAMED_MOST, Matcher
from mapping.score_model import load_model


class NoEmbedder:
    """Knows no word: what is found rests on letters, meaning and fields."""

    name = "none"
    dimension = 2

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.zeros((len(texts), self.dimension), np.float32)


def _targets(entity: str, *names: str) -> list[TargetField]:
    return [TargetField(entity, name, "string") for name in names]


ENTITIES: Final = {
    "contact": _targets("contact", "first_name", "last_name", "emails", "title", "account_id"),
    "invoice": _targets("invoice", "number", "total", "due_date", "customer_id", "line_items[].quantity"),
    "ticket": _targets("ticket", "subject", "priority", "requester_id", "assignee_id", "closed_at"),
}
PEOPLE: Final = ("givenName", "familyName", "mail", "jobTitle")
KNOWN: Final = [
    KnownMapping(vendor, entity, path, "string", canonical, field)
    for vendor in ("alpha", "beta", "gamma")
    for entity, canonical, fields in (
        ("individuals", "contact", zip(PEOPLE, ("first_name", "last_name", "emails", "title"), strict=True)),
        ("bills", "invoice", (("billNo", "number"), ("grandTotal", "total"), ("payBy", "due_date"))),
    )
    for path, field in fields
]


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(load_model(), NoEmbedder(), Corpus(KNOWN))


def _likeliest(matcher: Matcher, name: str, *paths: str) -> tuple[str | None, float]:
    found = matcher.match_entity("new", name, [FieldDescription(path) for path in paths], ENTITIES)
    assert sum(candidate.probability for candidate in found) == pytest.approx(1.0)
    assert {candidate.entity for candidate in found} == {*ENTITIES, None}
    assert [c.probability for c in found] == sorted((c.probability for c in found), reverse=True)
    return found[0].entity, found[0].probability


def test_the_same_name_with_the_same_fields(matcher: Matcher) -> None:
    entity, probability = _likeliest(matcher, "contact", "firstName", "last_name", "email", "title", "etag")
    assert entity == "contact"
    assert probability > 0.9


def test_what_other_vendors_call_theirs(matcher: Matcher) -> None:
    assert _likeliest(matcher, "individuals", *PEOPLE)[0] == "contact"
    assert _likeliest(matcher, "bills", "billNo", "grandTotal")[0] == "invoice"


def test_fields_speak_where_the_name_says_nothing_but_are_never_sure(matcher: Matcher) -> None:
    entity, probability = _likeliest(matcher, "obj_0041", *PEOPLE, "note")
    assert entity == "contact"
    assert probability <= UNNAMED_MOST


def test_a_name_alone_is_not_certain_enough_to_be_decided(matcher: Matcher) -> None:
    with_fields = _likeliest(matcher, "ticket", "subject", "priority", "requester_id")
    alone = _likeliest(matcher, "ticket", "flux", "warp")
    assert with_fields[0] == "ticket"
    assert with_fields[1] > Bands().entity > alone[1]


def test_what_is_like_nothing_is_none_of_them(matcher: Matcher) -> None:
    assert _likeliest(matcher, "reactor", "flux", "warp", "isotope")[0] is None
    assert _likeliest(matcher, "", "")[0] is None


def test_a_hidden_vendor_is_no_evidence(matcher: Matcher) -> None:
    fields = [FieldDescription(path) for path in PEOPLE]
    hidden = matcher.hiding(["alpha", "beta", "gamma"])
    empty = Matcher(load_model(), NoEmbedder(), Corpus())
    ours, theirs = (m.match_entity("new", "individuals", fields, ENTITIES) for m in (hidden, empty))
    assert [c.entity for c in ours] == [c.entity for c in theirs]
    assert [c.probability for c in ours] == pytest.approx([c.probability for c in theirs])


def test_without_entities_it_is_none(matcher: Matcher) -> None:
    (only,) = matcher.match_entity("new", "contact", [], {})
    assert (only.entity, only.probability) == (None, 1.0)
