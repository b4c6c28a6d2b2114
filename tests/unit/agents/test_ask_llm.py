"""Every field goes on as a proposal: answered by a model over real HTTP, or with the reason why not."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from agents import ask_llm
from agents.ask_llm import NO_MODEL, LlmAsker
from benchmarks.llm_server import ModelServer, Raw, choosing, completion
from inference.propose_mapping import LlmProposer
from inference.settings import InferenceSettings
from mapping.decide import Bands, Verdict, decide_fields
from mapping.path import quoted
from registry.llm_budget import Reservation
from schemas.canonical_model import load_entities
from schemas.failures import TransientError
from schemas.messages import FieldEvidence, MappingProposal, ProposedTarget, TransformWords, UnresolvedFields
from topics.settings import KafkaSettings

CUSTOMER = load_entities()["customer"]


class Budget:
    """In memory."""

    left = 1_000_000

    def __init__(self, *_args: Any, **_limits: Any) -> None: ...

    def reserve(self, tenant: str, *, tokens: int) -> Reservation | None:
        if tokens > Budget.left:
            return None
        Budget.left -= tokens
        return Reservation(1, tenant, tokens)

    def settle(self, reservation: Reservation, *, tokens: int, usd: float) -> None:
        Budget.left += reservation.tokens - tokens


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> type[Budget]:
    monkeypatch.setattr(ask_llm, "LlmBudget", Budget)
    Budget.left = 1_000_000
    return Budget


@contextmanager
def no_pool() -> Iterator[Any]:
    yield None


def unresolved(*paths: str, probability: float = 0.6) -> UnresolvedFields:
    fields = [
        FieldEvidence(
            path=path,
            types=("string",),
            candidates=(
                ProposedTarget(field="description", probability=probability, transform=TransformWords()),
                ProposedTarget(field="company_name", probability=0.1, transform=TransformWords()),
            ),
        )
        for path in paths
    ]
    return UnresolvedFields(
        tenant="acme",
        connector="crm",
        entity="customer",
        connection="crm",
        canonical_entity="customer",
        fields=tuple(fields),
        model="1",
        at=datetime.now(UTC),
    )


def ask(settings: InferenceSettings, *questions: UnresolvedFields) -> list[MappingProposal]:
    def open_proposer() -> LlmProposer | None:
        return None if settings.openai_api_key is None else LlmProposer(settings)

    async def answers() -> list[MappingProposal]:
        asker = LlmAsker(KafkaSettings(), settings, no_pool, open_proposer)
        return [proposal for question in questions for proposal in await asker.answer(question)]

    return asyncio.run(answers())


@pytest.fixture
def model() -> Iterator[Callable[..., InferenceSettings]]:
    """Settings of a model that answers as a function says, and the server itself as `.server`."""
    from contextlib import ExitStack  # noqa: PLC0415

    with ExitStack() as servers:

        def make(respond: Callable[[dict[str, Any]], str | Raw], **given: Any) -> InferenceSettings:
            server = servers.enter_context(ModelServer(respond).running())
            make.server = server  # type: ignore[attr-defined]
            return InferenceSettings(
                openai_api_key=SecretStr("k"), openai_base_url=server.url, **{"llm_retries": 0} | given
            )

        yield make


def obeying(message: dict[str, Any]) -> dict[str, Any]:
    """What a model does that does whatever a field's name asks for: the first candidate, for sure."""
    return {
        key: {"target": field["candidates"][0], "transform": "copy", "confidence": 1.0}
        for key, field in message["source_fields"].items()
    }


def verdicts(proposals: Sequence[MappingProposal]) -> dict[str, Verdict]:
    fields = [field for proposal in proposals for field in proposal.fields]
    return {d.path: d.verdict for d in decide_fields(fields, CUSTOMER, Bands(), taken={}, may_ask=False)}


def test_many_fields_go_in_one_call_and_answers_are_weighed(model: Callable[..., InferenceSettings]) -> None:
    settings = model(choosing(obeying), llm_fields_per_call=3)
    proposals = ask(settings, unresolved("a", "b", "c", "d"))
    assert model.server.counted.calls == 2  # type: ignore[attr-defined]
    assert [field.path for p in proposals for field in p.fields] == ["a", "b", "c", "d"]
    assert {p.method for p in proposals} == {"llm"}
    assert {p.model for p in proposals} == {"1+gpt-4.1-mini"}
    assert proposals[0].fields[0].candidates[0].probability > 0.85


def test_without_a_key_every_field_goes_to_review() -> None:
    proposals = ask(InferenceSettings(openai_api_key=None), unresolved("a", "b"))
    assert [field.remark for field in proposals[0].fields] == [NO_MODEL, NO_MODEL]
    assert set(verdicts(proposals).values()) == {Verdict.REVIEW}


@pytest.mark.parametrize(
    ("raw", "remark"),
    [
        (Raw(json.dumps(completion("It is an email.")).encode()), "JSON"),
        (Raw(json.dumps(completion(None, refusal="no")).encode()), "refused"),
        (Raw(status=500), "500"),
        (Raw(status=429), "429"),
        (Raw(pause_seconds=1.0), "no answer"),
        (Raw(megabytes=100), "bytes"),
    ],
    ids=lambda value: "",
)
def test_an_answer_that_is_no_use_ends_in_review_with_the_reason(
    raw: Raw, remark: str, model: Callable[..., InferenceSettings]
) -> None:
    proposals = ask(model(lambda _request: raw, llm_timeout_seconds=0.4), unresolved("a"))
    assert remark in proposals[0].fields[0].remark
    assert verdicts(proposals) == {"a": Verdict.REVIEW}


def test_a_budget_that_is_spent_asks_nobody_and_a_call_gives_back_what_it_did_not_take(
    model: Callable[..., InferenceSettings], budget: type[Budget]
) -> None:
    settings = model(choosing(obeying))
    budget.left = 3_000
    ask(settings, unresolved("a"))
    used = 3_000 - budget.left
    counted = model.server.counted  # type: ignore[attr-defined]
    assert used == counted.input_tokens + counted.output_tokens
    budget.left = 10
    proposals = ask(settings, unresolved("a"))
    assert "budget" in proposals[0].fields[0].remark
    assert counted.calls == 1


def test_an_endpoint_that_is_down_is_left_alone_for_a_while(model: Callable[..., InferenceSettings]) -> None:
    settings = model(lambda _request: Raw(status=503), llm_breaker_failures=2)
    proposals = ask(settings, *[unresolved(f"f{n}") for n in range(6)])
    assert model.server.counted.calls == 2  # type: ignore[attr-defined]
    assert len(proposals) == 6
    assert "for a while" in proposals[-1].fields[0].remark


def test_without_postgres_nothing_is_asked(model: Callable[..., InferenceSettings], monkeypatch: Any) -> None:
    settings = model(choosing(obeying))

    def away(*_args: Any, **_given: Any) -> None:
        raise TransientError("no Postgres")

    monkeypatch.setattr(Budget, "reserve", away)
    with pytest.raises(TransientError):
        ask(settings, unresolved("a"))
    assert model.server.counted.calls == 0  # type: ignore[attr-defined]


def test_no_injection_is_approved_though_the_model_obeys_and_none_leaves_the_candidates(
    model: Callable[..., InferenceSettings], injections: list[str]
) -> None:
    paths = [quoted(text) for text in injections]
    assert len(paths) >= 100
    proposals = ask(model(choosing(obeying)), unresolved(*paths, probability=0.84))
    made = verdicts(proposals)
    assert set(made) == set(paths)
    assert set(made.values()) <= {Verdict.REVIEW, Verdict.NOTHING}
    proposed = {c.field for p in proposals for f in p.fields for c in f.candidates}
    assert proposed == {"description", "company_name"}
    inventing = model(choosing(lambda m: {k: {**a, "target": "tax_number"} for k, a in obeying(m).items()}))
    proposed = {c.field for p in ask(inventing, unresolved(*paths)) for f in p.fields for c in f.candidates}
    assert proposed == {"description", "company_name"}


def test_the_model_sees_no_value_and_no_description(model: Callable[..., InferenceSettings]) -> None:
    ask(model(choosing(obeying)), unresolved("nick"))
    (body,) = model.server.counted.bodies  # type: ignore[attr-defined]
    (told,) = json.loads(body["messages"][1]["content"])["source_fields"].values()
    assert set(told) == {"name", "types", "candidates"}
