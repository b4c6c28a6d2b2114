"""Asks a language model about the fields that retrieval could not tell, many of one entity in one call.

Every field goes on as a proposal, answered or not: without a key, with the budget spent, or after an answer that is no
use, its remark says so and a person decides. What an answer is worth is decided in `mapping.weigh_answer`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from confluent_kafka import Message

from agents.batch import Batch
from agents.control_message import parse_message
from agents.dead_letters import bury_message
from agents.registry_access import OpenPool, RegistryAccess
from inference.circuit_breaker import CircuitBreaker
from inference.settings import InferenceSettings
from mapping.question import Proposer, Question, Reply, build_question
from mapping.weigh_answer import weigh
from observability import metrics
from registry.llm_budget import LlmBudget, Reservation
from schemas.canonical_model import CanonicalEntity, load_entities
from schemas.failures import AamError, InvalidRecord, Misconfigured, TransientError
from schemas.messages import FieldEvidence, MappingProposal, UnresolvedFields
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
NO_MODEL: Final = "no language model is configured"

OpenProposer = Callable[[], Proposer | None]
"""The model to ask, None if there is none; its library is slow to import, so it is called with the first field."""


class LlmAsker:
    """Several calls at once, within each tenant's budget. Postgres is needed for that alone."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: InferenceSettings,
        open_pool: OpenPool,
        open_proposer: OpenProposer,
    ) -> None:
        self._names = kafka.names
        self._settings = settings
        self._registry = RegistryAccess(open_pool)
        self._open_proposer = open_proposer
        self._proposer: Proposer | None = None
        self._opened = False
        self._slots = asyncio.Semaphore(settings.llm_calls_at_once)
        self._breaker = CircuitBreaker(
            failures=settings.llm_breaker_failures, pause_seconds=settings.llm_breaker_seconds
        )

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()

    async def handle(self, batch: Batch) -> None:
        """Settle one batch."""
        with batch.outcome():
            proposals = await _all(self._of_message(message, batch) for message in batch.messages)
            await batch.in_thread(self._write, [one for some in proposals for one in some], batch)

    async def answer(self, unresolved: UnresolvedFields) -> list[MappingProposal]:
        """The proposals that `unresolved` becomes. Raises TransientError or Misconfigured without Postgres."""
        step = self._settings.llm_fields_per_call
        parts = [unresolved.fields[start : start + step] for start in range(0, len(unresolved.fields), step)]
        answered = await _all(self._of_part(unresolved, part) for part in parts)
        return [_proposal(unresolved, part, self._version(unresolved)) for part in answered]

    async def _of_message(self, message: Message, batch: Batch) -> list[MappingProposal]:
        try:
            unresolved = parse_message(UnresolvedFields, message.value())
            if unresolved.canonical_entity not in load_entities():
                raise InvalidRecord("unresolved fields of an entity that there is not")
        except InvalidRecord as error:
            bury_message(message, error, agent="ask_llm", names=self._names, output=batch)
            return []
        return await self.answer(unresolved)

    async def _of_part(self, unresolved: UnresolvedFields, fields: Sequence[FieldEvidence]) -> list[FieldEvidence]:
        entity = load_entities()[unresolved.canonical_entity]
        if not self._opened:
            self._proposer, self._opened = await asyncio.to_thread(self._open_proposer), True
        if self._proposer is None:
            metrics.LLM_CALLS.labels("not_configured").inc()
            return _unanswered(fields, NO_MODEL)
        question = _question(unresolved, fields, entity)
        async with self._slots:
            reply = await self._ask(self._proposer, question, unresolved.tenant)
        if isinstance(reply, str):
            return _unanswered(fields, reply)
        return list(_weighed(fields, reply, entity))

    async def _ask(self, proposer: Proposer, question: Question, tenant: str) -> Reply | str:
        """The model's reply, or why there is none."""
        if not self._breaker.allows():
            metrics.LLM_CALLS.labels("circuit_open").inc()
            return "the language model has not answered for a while"
        reservation = await asyncio.to_thread(self._reserve, tenant, proposer.most_tokens(question))
        if reservation is None:
            metrics.LLM_CALLS.labels("budget_spent").inc()
            return "this month's budget for the language model is spent"
        started = time.perf_counter()
        try:
            reply = await proposer.propose(question)
        except InvalidRecord as error:
            self._breaker.succeeded()
            await self._settle(reservation, proposer, reservation.tokens, 0)  # what it took is not told: all of it
            metrics.LLM_CALLS.labels("unusable").inc()
            return str(error)
        except (TransientError, Misconfigured) as error:
            self._breaker.failed()
            await self._settle(reservation, proposer, 0, 0)
            metrics.LLM_CALLS.labels("failed").inc()
            log.warning("language model: %s", error)
            return str(error)
        self._breaker.succeeded()
        await self._settle(reservation, proposer, reply.input_tokens, reply.output_tokens)
        metrics.LLM_CALLS.labels("answered").inc()
        metrics.LLM_SECONDS.observe(time.perf_counter() - started)
        return reply

    def _reserve(self, tenant: str, tokens: int) -> Reservation | None:
        return self._budget().reserve(tenant, tokens=tokens)

    async def _settle(self, reservation: Reservation, proposer: Proposer, read: int, written: int) -> None:
        label = metrics.tenant_label(reservation.tenant)
        usd = proposer.price_usd(read, written)
        metrics.LLM_TOKENS.labels(label, "input").inc(read)
        metrics.LLM_TOKENS.labels(label, "output").inc(written)
        metrics.LLM_USD.labels(label).inc(usd)
        try:
            await asyncio.to_thread(self._budget().settle, reservation, tokens=read + written, usd=usd)
        except AamError as error:
            # The call was made: asking again would cost more than a reservation that counts as spent.
            log.warning("a reservation of %s stays open: %s", reservation.tenant, error)

    def _budget(self) -> LlmBudget:
        return LlmBudget(
            self._registry.pool,
            calls_per_month=self._settings.llm_calls_per_month,
            tokens_per_month=self._settings.llm_tokens_per_month,
        )

    def _version(self, unresolved: UnresolvedFields) -> str:
        return unresolved.model if self._proposer is None else f"{unresolved.model}+{self._proposer.name}"

    def _write(self, proposals: Sequence[MappingProposal], batch: Batch) -> None:
        for proposal in proposals:
            batch.produce(self._names.mapping_proposals, proposal.model_dump_json().encode(), proposal.tenant.encode())


async def _all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of `calls`; if one fails the others are given up, so that none goes on behind an aborted batch."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


def _question(unresolved: UnresolvedFields, fields: Sequence[FieldEvidence], entity: CanonicalEntity) -> Question:
    docs = {name: field.doc for name, field in entity.targets()}
    return build_question(unresolved.connector, unresolved.entity, entity.name, fields, docs)


def _weighed(fields: Sequence[FieldEvidence], reply: Reply, entity: CanonicalEntity) -> Iterator[FieldEvidence]:
    targets = dict(entity.targets())
    for field in fields:
        answer = reply.answers.get(field.path)
        if answer is not None:
            yield weigh(field, answer, targets)
        else:
            remark = reply.problems.get(field.path, "the model did not answer about it")
            yield field.model_copy(update={"remark": remark})


def _unanswered(fields: Sequence[FieldEvidence], remark: str) -> list[FieldEvidence]:
    return [field.model_copy(update={"remark": remark}) for field in fields]


def _proposal(unresolved: UnresolvedFields, fields: Sequence[FieldEvidence], model: str) -> MappingProposal:
    return MappingProposal(
        tenant=unresolved.tenant,
        connector=unresolved.connector,
        entity=unresolved.entity,
        connection=unresolved.connection,
        canonical_entity=unresolved.canonical_entity,
        fields=tuple(fields),
        method="llm",
        model=model,
        at=datetime.now(UTC),
    )
