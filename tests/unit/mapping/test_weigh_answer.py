"""A model's word moves a probability; alone it makes nothing certain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.question import FieldAnswer
from mapping.weigh_answer import weigh
from schemas.canonical_model import load_entities
from schemas.messages import FieldEvidence, ProposedTarget

TARGETS = dict(load_entities()["customer"].targets())


def evidence(*probabilities: float, nothing: float = 0.0) -> FieldEvidence:
    names = ("emails", "phones", "description", "display_name")
    candidates = [ProposedTarget(field=n, probability=p) for n, p in zip(names, probabilities, strict=False)]
    return FieldEvidence(path="x", candidates=tuple(candidates), nothing=nothing)


@pytest.mark.parametrize(
    ("chance", "confidence", "least", "most"),
    [
        (0.8, 1.0, 0.95, 0.98),
        (0.6, 1.0, 0.88, 0.93),
        (0.3, 1.0, 0.70, 0.80),
        (0.0, 1.0, 0.0, 0.2),
        (0.6, 0.5, 0.4, 0.6),
    ],
)
def test_a_choice_is_worth_what_retrieval_thought_of_it(
    chance: float, confidence: float, least: float, most: float
) -> None:
    weighed = weigh(evidence(chance, 0.1), FieldAnswer("emails", "copy", confidence), TARGETS)
    by_field = {candidate.field: candidate for candidate in weighed.candidates}
    assert least <= by_field["emails"].probability <= most
    assert by_field["emails"].signals["model"] == confidence
    assert "chose emails" in weighed.remark


def test_another_choice_takes_the_first_place() -> None:
    weighed = weigh(evidence(0.5, 0.3), FieldAnswer("phones", "copy", 0.97), TARGETS)
    assert weighed.candidates[0].field == "phones"


def test_none_speaks_for_nothing() -> None:
    weighed = weigh(evidence(0.3, nothing=0.7), FieldAnswer(None, None, 0.97), TARGETS)
    assert weighed.nothing > 0.9
    assert weighed.candidates[0].probability < 0.1


def test_a_transform_that_types_did_not_tell_is_told_to_a_person_and_not_used() -> None:
    weighed = weigh(evidence(0.8), FieldAnswer("emails", "lower", 1.0), TARGETS)
    assert weighed.candidates[0].transform is None
    assert "lower" in weighed.candidates[0].note
    assert "iso_time" not in weigh(evidence(0.8), FieldAnswer("emails", "iso_time", 1.0), TARGETS).candidates[0].note


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.floats(0, 1),
    st.sampled_from(["emails", "phones", "description", "display_name", None]),
    st.floats(0, 1),
)
def test_probabilities_stay_such_and_a_field_is_one_thing(
    chances: list[float], nothing: float, target: str | None, confidence: float
) -> None:
    weighed = weigh(evidence(*chances, nothing=nothing), FieldAnswer(target, None, confidence), TARGETS)
    found = [candidate.probability for candidate in weighed.candidates]
    assert found == sorted(found, reverse=True)
    assert sum(found) <= 1.0 + 1e-9
    assert all(0 <= p <= 1 for p in (*found, weighed.nothing))
