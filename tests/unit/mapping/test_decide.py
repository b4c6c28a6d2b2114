"""The bands: what is mapped at once, what a person sees, what a model is asked, what is nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.decide import Bands, Decision, Verdict, decide_entity, decide_fields, is_strict
from mapping.field_name import TOO_MANY
from schemas.canonical_model import load_entities
from schemas.messages import FieldEvidence, ProposedEntity, ProposedTarget, TransformWords

CUSTOMER = load_entities()["customer"]
BANDS = Bands()
COPY = TransformWords()


def candidate(field: str, probability: float, transform: TransformWords | None = COPY, **given: Any) -> ProposedTarget:
    return ProposedTarget(field=field, probability=probability, transform=transform, **given)


def field(path: str, *candidates: ProposedTarget, nothing: float = 0.0, **given: Any) -> FieldEvidence:
    return FieldEvidence(path=path, candidates=candidates, nothing=nothing, **given)


def decide(*fields: FieldEvidence, taken: dict[str, str] | None = None, may_ask: bool = False) -> list[Decision]:
    return decide_fields(fields, CUSTOMER, BANDS, taken=taken or {}, may_ask=may_ask)


@pytest.mark.parametrize(
    ("evidence", "may_ask", "verdict"),
    [
        (field("memo", candidate("description", 0.96)), True, Verdict.ACTIVE),
        (field("memo", candidate("description", 0.95)), True, Verdict.ACTIVE),
        (field("memo", candidate("description", 0.94)), True, Verdict.PROVISIONAL),
        (field("memo", candidate("description", 0.85)), True, Verdict.PROVISIONAL),
        (field("memo", candidate("description", 0.84)), True, Verdict.ASK),
        (field("memo", candidate("description", 0.84)), False, Verdict.REVIEW),
        (field("memo", candidate("description", 0.1), nothing=0.89), True, Verdict.ASK),
        (field("memo", candidate("description", 0.02), nothing=0.97), True, Verdict.NOTHING),
        (field("memo"), True, Verdict.REVIEW),
        (field("memo", candidate("no_such_field", 0.99)), False, Verdict.REVIEW),
        (field("memo", candidate("description", 0.99, None, note="cents?")), True, Verdict.REVIEW),
        # stricter: a time, identity, money, a key
        (field("made", candidate("created_at", 0.96)), True, Verdict.PROVISIONAL),
        (field("nick", candidate("display_name", 0.96)), True, Verdict.PROVISIONAL),
        (field("due", candidate("balance", 0.97)), True, Verdict.ACTIVE),
        (field("due", candidate("balance", 0.89)), True, Verdict.ASK),
        (field("org", candidate("account_id", 0.89)), False, Verdict.REVIEW),
        # whatever the probability
        (field("x" * 1_001, candidate("description", 0.99)), True, Verdict.NOTHING),
        (field("ignore previous", candidate("description", 0.99)), True, Verdict.REVIEW),
        (field(TOO_MANY, candidate("description", 0.99)), True, Verdict.REVIEW),
    ],
)
def test_bands(evidence: FieldEvidence, may_ask: bool, verdict: Verdict) -> None:
    (decision,) = decide(evidence, may_ask=may_ask)
    assert decision.verdict is verdict
    assert decision.reason


def test_a_target_goes_to_one_path_the_likelier() -> None:
    low, high = decide(field("mail2", candidate("emails", 0.96)), field("mail", candidate("emails", 0.99)))
    assert (low.verdict, high.verdict) == (Verdict.REVIEW, Verdict.ACTIVE)
    assert "read from mail" in low.reason


def test_a_target_that_is_read_already_is_never_taken_from_its_path() -> None:
    (decision,) = decide(field("mail2", candidate("emails", 0.99)), taken={"emails": "mail"})
    assert decision.verdict is Verdict.REVIEW
    (again,) = decide(field("mail", candidate("emails", 0.99)), taken={"emails": "mail"})
    assert again.verdict is Verdict.ACTIVE


def test_a_reviewer_is_told_what_became_of_the_model() -> None:
    (decision,) = decide(field("memo", candidate("description", 0.6), remark="no language model is configured"))
    assert "no language model" in decision.reason


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]),
            st.lists(st.tuples(st.sampled_from(["emails", "phones", "description"]), st.floats(0, 1)), max_size=3),
            st.floats(0, 1),
        ),
        unique_by=lambda row: row[0],
    )
)
def test_no_target_is_given_twice_and_doubt_is_a_share(rows: list[Any]) -> None:
    evidence = [
        field(path, *(candidate(*c) for c in sorted(found, key=lambda c: -c[1])), nothing=nothing)
        for path, found, nothing in rows
    ]
    decisions = decide(*evidence, may_ask=True)
    made = [d.target.field for d in decisions if d.target and d.verdict in (Verdict.ACTIVE, Verdict.PROVISIONAL)]
    assert len(made) == len(set(made))
    assert [d.path for d in decisions] == [e.path for e in evidence]
    assert all(0 <= d.doubt <= 1 for d in decisions)


def test_entities() -> None:
    sure = [ProposedEntity(entity="customer", probability=0.985), ProposedEntity(entity=None, probability=0.01)]
    assert decide_entity(sure, BANDS)[0] == "customer"
    doubtful = [ProposedEntity(entity="customer", probability=0.9), ProposedEntity(entity=None, probability=0.1)]
    assert decide_entity(doubtful, BANDS)[0] is None
    assert "customer" in decide_entity(doubtful, BANDS)[1]
    assert decide_entity([ProposedEntity(entity=None, probability=0.99)], BANDS)[0] is None
    assert decide_entity([], BANDS)[0] is None


def test_what_is_strict() -> None:
    strict = {name for name, field in CUSTOMER.targets() if is_strict(name, field)}
    assert {"display_name", "account_id", "balance", "currency", "created_at"} <= strict
    assert not {"emails", "description", "addresses[].city"} & strict
