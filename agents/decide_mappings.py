"""Turns proposals into mappings, ignored paths or review items; which, is decided in `mapping.decide`.

After-writes and idempotent: a proposal read twice changes nothing the second time, but counts its records again. What a
person has decided about a field, no proposal changes. While Postgres is down, it waits.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import Message

from agents.batch import Batch
from agents.control_message import parse_message
from agents.dead_letters import Output, bury_message
from agents.registry_access import OpenPool, RegistryAccess
from agents.settings import WorkerSettings
from mapping.decide import Decision, Verdict, decide_entity, decide_fields
from mapping.mapping_set import ANY_TENANT, MappingSet, Transform
from mapping.mapping_set import Mapping as FieldMapping
from mapping.plan import validate_set
from observability import metrics
from registry import audit
from registry.edits import Declaration, Key, SetEdit, SetState
from registry.entity_choices import note_entity
from registry.errors import InvalidDecision, InvalidMapping
from registry.mapping_store import MappingStore
from registry.novel_fields import FieldVerdict, NovelFieldStore, record_verdicts, settled_by_people
from registry.pool import Connection, Pool, transaction
from registry.read_states import read_states
from registry.review import ReviewItem, ReviewQueue
from registry.source_schemas import SourceSchemas
from registry.write_changes import take_turn
from schemas.canonical_model import load_entities
from schemas.failures import AamError, InvalidRecord
from schemas.messages import FieldEvidence, MappingProposal, ProposedTarget
from topics.settings import KafkaSettings

log = logging.getLogger(__name__)

ACTOR: Final = "aam"
KEY_RECORDS: Final = 20  # seen, before a path is taken for what identifies a record


@dataclass(frozen=True)
class _Decided:
    """What a proposal becomes: decisions by path, mappings and ignored paths among them."""

    proposal: MappingProposal
    decisions: tuple[Decision, ...]

    @property
    def evidence(self) -> dict[str, FieldEvidence]:
        return {field.path: field for field in self.proposal.fields}


class MappingDecider:
    """Decides proposal by proposal, each in one transaction of the registry."""

    def __init__(self, kafka: KafkaSettings, settings: WorkerSettings, open_pool: OpenPool) -> None:
        self._names = kafka.names
        self._bands = settings.bands
        self._registry = RegistryAccess(open_pool)

    def close(self) -> None:
        """Give the connections back."""
        self._registry.close()

    async def handle(self, batch: Batch) -> None:
        """Settle one batch."""
        with batch.outcome():
            await batch.in_thread(self.process, batch.messages, batch)

    def process(self, messages: Iterable[Message], output: Output) -> None:
        """Decide them all. Raises TransientError or Misconfigured without Postgres: to be tried again."""
        for message in messages:
            try:
                self.decide(parse_message(MappingProposal, message.value()))
            except InvalidRecord as error:
                bury_message(message, error, agent="decide_mappings", names=self._names, output=output)

    def decide(self, proposal: MappingProposal) -> None:
        """Write what `proposal` becomes. Raises InvalidRecord if it is of an entity that there is not."""
        pool = self._registry.pool
        if proposal.canonical_entity is None:
            self._ask_for_entity(pool, proposal)
            return
        if proposal.canonical_entity not in load_entities():
            raise InvalidRecord("a proposal for an entity that there is not")
        decided = self._write(pool, proposal, refused={})
        ReviewQueue(pool).add(list(_review_items(decided)))
        settled = [d.path for d in decided.decisions if d.verdict in (Verdict.ACTIVE, Verdict.NOTHING)]
        if settled:
            ReviewQueue(pool).withdraw([(*_key(proposal), path) for path in settled])
        for decision in decided.decisions:
            metrics.FIELDS_DECIDED.labels(proposal.method, str(decision.verdict)).inc()

    def _write(self, pool: Pool, proposal: MappingProposal, refused: Mapping[str, str]) -> _Decided:
        """Decide under the lock of the revision. `refused`: paths whose mapping the registry refuses, and why."""
        key, entity = _key(proposal), proposal.canonical_entity
        assert entity is not None
        observed = SourceSchemas(pool).latest(
            tenant=key[0], connector=key[1], entity=key[2], connection=proposal.connection
        )
        declared = observed.primary_key if observed is not None else ()
        with transaction(pool) as connection:
            take_turn(connection)
            base = (ANY_TENANT, *key[1:])
            states = read_states(connection, {key, base})
            primary_key = _primary_key(proposal, states, declared)
            decided = self._decided(connection, proposal, states, refused, primary_key)
            is_declared = any(s.declaration and s.declaration.primary_key for s in states.values())
            edit = _edit(decided, states[key], primary_key, is_declared=is_declared)
            try:
                if edit.mappings or edit.declaration:
                    made = audit.Decision("set", ACTOR, proposal.method, reason=f"by {proposal.model}")
                    with connection.transaction():
                        MappingStore(pool).apply_within(connection, [edit], made)
            except (InvalidMapping, InvalidDecision) as error:
                log.info("%s: %s", "/".join(key), error)
                retry = {**refused, **_culprits(decided, list(states.values()), error)}
            else:
                _record(connection, decided)
                if proposal.entities:
                    note_entity(connection, key, entity, actor=ACTOR)
                return decided
        return self._write(pool, proposal, retry)

    def _decided(
        self,
        connection: Connection,
        proposal: MappingProposal,
        states: Mapping[Key, SetState],
        refused: Mapping[str, str],
        primary_key: tuple[str, ...],
    ) -> _Decided:
        assert proposal.canonical_entity is not None
        by_people = settled_by_people(connection, _key(proposal))
        fields = [field for field in proposal.fields if field.path not in by_people]
        decisions = decide_fields(
            fields,
            load_entities()[proposal.canonical_entity],
            self._bands,
            taken=_taken(states, proposal.canonical_entity),
            may_ask=False,
        )
        return _Decided(proposal, tuple(_settled(decision, refused, primary_key) for decision in decisions))

    def _ask_for_entity(self, pool: Pool, proposal: MappingProposal) -> None:
        _, reason = decide_entity(proposal.entities, self._bands)
        likely = [entity for entity in proposal.entities if entity.entity is not None]
        best = max((entity.probability for entity in proposal.entities), default=0.0)
        waiting = sum(field.volume for field in NovelFieldStore(pool).fields_of(_key(proposal)))
        item = ReviewItem(
            *_key(proposal),
            path="",
            canonical_entity=None,
            candidates=[
                {"field": e.entity, "probability": e.probability, "signals": {}, "transform": None} for e in likely
            ],
            reason=reason,
            profile={},
            volume=max(1, waiting),  # all that the source's fields have shown waits for the answer
            doubt=round(1.0 - best, 4),
        )
        ReviewQueue(pool).add([item])
        metrics.FIELDS_DECIDED.labels(proposal.method, "entity_in_doubt").inc()


def _key(proposal: MappingProposal) -> Key:
    return proposal.tenant, proposal.connector, proposal.entity


def _taken(states: Mapping[Key, SetState], canonical_entity: str) -> dict[str, str]:
    """Canonical field → the path that it is read from; what a person removed is nobody's to give again."""
    taken: dict[str, str] = {}
    for state in states.values():
        for (entity, field), version in state.holding.items():
            if entity == canonical_entity and (version.status != "removed" or version.person):
                taken[field] = version.mapping.source_field or "a constant"
            if version.status == "removed" and version.person and entity == canonical_entity:
                taken[field] = "nothing: a person removed its mapping"
    return taken


def _settled(decision: Decision, refused: Mapping[str, str], primary_key: tuple[str, ...]) -> Decision:
    """The decision, but for what the registry refuses and what identifies the records."""
    if decision.path in primary_key and decision.verdict not in (Verdict.ACTIVE, Verdict.PROVISIONAL):
        return replace(
            decision, verdict=Verdict.NOTHING, reason="it identifies the records: every event tells it", doubt=0.0
        )
    if decision.path in refused:
        return replace(decision, verdict=Verdict.REVIEW, reason=f"{decision.reason}, but {refused[decision.path]}")
    return decision


def _culprits(decided: _Decided, states: Iterable[SetState], error: Exception) -> dict[str, str]:
    """The paths to leave out of a set that would not compile, and why: those that don't fit to what is surer.

    If each fits, the least sure of all; some other rule of the registry is against them.
    """
    entity = decided.proposal.canonical_entity or ""
    holding = [v.mapping for state in states for v in state.holding.values() if v.status in ("active", "provisional")]
    fitting = {mapping.target: mapping for mapping in holding}
    culprits = {}
    made = [d for d in decided.decisions if d.verdict in (Verdict.ACTIVE, Verdict.PROVISIONAL) and d.target]
    made.sort(key=lambda d: -d.target.probability if d.target else 0.0)
    for decision in made:
        mapping = _mapping(entity, decision)
        wanted = {**fitting, mapping.target: mapping}
        whole = MappingSet(connector="", entity="", epoch=0, revision=0, mappings=tuple(wanted.values()))
        try:
            validate_set(whole, load_entities())
        except AamError as misfit:
            culprits[decision.path] = str(misfit)
        else:
            fitting = wanted
    if culprits:
        return culprits
    least = made[-1] if made else next(d for d in decided.decisions if d.verdict is Verdict.NOTHING)
    return {least.path: str(error)}


def _edit(decided: _Decided, state: SetState, primary_key: tuple[str, ...], *, is_declared: bool) -> SetEdit:
    """What to change. `is_declared`: some set of the source names the key already."""
    proposal = decided.proposal
    assert proposal.canonical_entity is not None
    mappings, evidence = [], {}
    for decision in decided.decisions:
        if decision.target is None or decision.verdict not in (Verdict.ACTIVE, Verdict.PROVISIONAL):
            continue
        mapping = _mapping(proposal.canonical_entity, decision)
        mappings.append(mapping)
        evidence[mapping.target] = _told(decided.evidence[decision.path])
    current = state.declaration or Declaration()
    nothing = [d.path for d in decided.decisions if d.verdict is Verdict.NOTHING and d.path not in primary_key]
    own_key = current.primary_key or (() if is_declared else primary_key)
    wanted = Declaration(own_key, tuple(dict.fromkeys((*current.ignored, *nothing))))
    return SetEdit(
        _key(proposal),
        mappings=tuple(mappings),
        declaration=None if wanted == current else wanted,
        evidence=evidence,
    )


def _mapping(canonical_entity: str, decision: Decision) -> FieldMapping:
    target = decision.target
    assert target is not None
    assert target.transform is not None, "decide maps only what has a transform"
    return FieldMapping(
        canonical_entity=canonical_entity,
        canonical_field=target.field,
        source_field=decision.path,
        transform=Transform.model_validate(target.transform.model_dump()),
        confidence=round(target.probability, 4),
        status="active" if decision.verdict is Verdict.ACTIVE else "provisional",
    )


def _primary_key(
    proposal: MappingProposal, states: Mapping[Key, SetState], declared: tuple[str, ...]
) -> tuple[str, ...]:
    """The paths that identify the source's records: declared, else told by its schema, else as its values look.

    A set that has mappings keeps what it has: another key would make other records of the same ones.
    """
    for state in states.values():
        if state.declaration is not None and state.declaration.primary_key:
            return state.declaration.primary_key
    if any(state.holding for state in states.values()):
        return ()
    return declared or _key_by_values(proposal.entity, proposal.fields)


def _key_by_values(entity: str, fields: Sequence[FieldEvidence]) -> tuple[str, ...]:
    """`id`, or what is called after the entity, if every record had one and no two the same."""
    names = ("id", "Id", "ID", "_id", "uuid", f"{entity}_id", f"{entity}Id", "uid", "key")
    sure = {
        f.path
        for f in fields
        if f.profile.records >= KEY_RECORDS and f.profile.present == f.profile.records and f.profile.distinct_ratio == 1
    }
    return next(((name,) for name in names if name in sure), ())


def _record(connection: Connection, decided: _Decided) -> None:
    verdicts = [
        FieldVerdict(d.path, str(d.verdict), d.reason, _told(decided.evidence[d.path])) for d in decided.decisions
    ]
    if verdicts:
        proposal = decided.proposal
        record_verdicts(connection, _key(proposal), verdicts, method=proposal.method, model=proposal.model)


def _review_items(decided: _Decided) -> Iterable[ReviewItem]:
    evidence = decided.evidence
    for decision in decided.decisions:
        if decision.verdict not in (Verdict.REVIEW, Verdict.PROVISIONAL):
            continue
        field = evidence[decision.path]
        yield ReviewItem(
            *_key(decided.proposal),
            path=decision.path,
            canonical_entity=decided.proposal.canonical_entity,
            candidates=[_candidate(c, decided.proposal.method) for c in field.candidates],
            reason=decision.reason,
            profile=_profile(field),
            volume=max(1, field.profile.present),
            doubt=decision.doubt,
        )


def _candidate(candidate: ProposedTarget, method: str) -> dict[str, Any]:
    told = candidate.model_dump(mode="json", exclude={"note"})
    return {**told, "method": method, **({"note": candidate.note} if candidate.note else {})}


def _profile(field: FieldEvidence) -> dict[str, Any]:
    return {
        "types": list(field.types),
        "shapes": list(field.shapes),
        **field.profile.model_dump(mode="json", exclude_defaults=True),
    }


def _told(field: FieldEvidence) -> dict[str, Any]:
    return {
        "candidates": [c.model_dump(mode="json") for c in field.candidates],
        "nothing": field.nothing,
        "remark": field.remark,
        "profile": _profile(field),
    }
