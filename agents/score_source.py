"""Scores the new fields of one source and sorts them: what can be decided, and what a language model is asked about.

Loaded with the first novel field, for it brings numpy and the matching model along. What a probability is worth is
decided in `mapping.decide`; who is next, and writing, is up to `agents.retrieve_mappings`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from agents.known_fields import KnownFields
from agents.mapping_cache import MappingTable
from inference.choose_embedder import choose_embedder
from inference.settings import InferenceSettings
from mapping.candidates import targets_of
from mapping.corpus import Corpus
from mapping.decide import Bands, Verdict, decide_entity, decide_fields
from mapping.gather_evidence import (
    SeenField,
    gather_evidence,
    known_paths,
    main_entity,
    match_entity,
    taken_targets,
)
from mapping.mapping_set import MappingSet
from mapping.matcher import Matcher
from mapping.score_model import load_model
from observability import metrics
from registry.edits import Key
from registry.novel_fields import DueSource
from registry.pool import Pool
from schemas.canonical_model import load_entities
from schemas.messages import FieldEvidence, MappingProposal, ProposedEntity, UnresolvedFields

FIELDS_OF_A_MESSAGE: Final = 50
BYTES_OF_A_MESSAGE: Final = 500_000


@dataclass(frozen=True)
class Scored:
    """What is to be written. `waits`: the source's fields stay new until its entity is chosen."""

    proposals: tuple[MappingProposal, ...] = ()
    unresolved: tuple[UnresolvedFields, ...] = ()
    waits: bool = False


class SourceScorer:
    """One model, with matchers by tenant. For one thread at a time. `version` is what scored last."""

    def __init__(self, known: KnownFields, *, bands: Bands) -> None:
        self.version = ""
        self._known = known
        self._bands = bands

    def score(self, source: DueSource, table: MappingTable, pool: Pool) -> Scored:
        """What the source's new fields may be. Raises RegistryUnavailable if the corpus can't be read anew."""
        tenant, connector, entity = source.key
        mapping_set = table.composed(*source.key) or MappingSet(connector=connector, entity=entity, epoch=0, revision=0)
        matcher = self._known.matcher(tenant, table, pool)
        self.version = matcher.version
        fields = [SeenField(f.path, f.types, f.shapes, f.profile) for f in source.fields]
        canonical = source.canonical_entity or main_entity(mapping_set)
        entities: tuple[ProposedEntity, ...] = ()
        if canonical is None:
            if source.chosen or not fields:
                return Scored(waits=source.chosen)
            entities = match_entity(matcher, connector, entity, fields, load_entities())
            canonical, _ = decide_entity(entities, self._bands)
            if canonical is None:
                metrics.FIELDS_SCORED.labels("entity_in_doubt").inc(sum(field.is_new for field in source.fields))
                return Scored(proposals=(self._proposal(source, None, entities, ()),), waits=True)
        evidence = gather_evidence(
            matcher,
            connector,
            entity,
            load_entities()[canonical],
            fields,
            wanted=[field.path for field in source.fields if field.is_new],
            known=known_paths(mapping_set),
        )
        told, untold = self._told_apart(source, evidence, canonical, mapping_set)
        return Scored(
            proposals=tuple(self._proposal(source, canonical, entities, some) for some in chunks(told)),
            unresolved=tuple(
                UnresolvedFields(**self._where(source), canonical_entity=canonical, fields=some)
                for some in chunks(untold)
            ),
        )

    def evidence(
        self,
        key: Key,
        canonical: str,
        fields: Sequence[SeenField],
        wanted: Sequence[str],
        mapping_set: MappingSet | None,
        pool: Pool,
    ) -> list[FieldEvidence]:
        """The evidence of `wanted` alone, as it is now, beside all that is known of the source."""
        matcher = self._known.matcher(key[0], MappingTable(), pool)
        self.version = matcher.version
        known = known_paths(mapping_set) if mapping_set else []
        return gather_evidence(matcher, key[1], key[2], load_entities()[canonical], fields, wanted=wanted, known=known)

    def _told_apart(
        self, source: DueSource, evidence: list[FieldEvidence], canonical: str, mapping_set: MappingSet
    ) -> tuple[list[FieldEvidence], list[FieldEvidence]]:
        """(what retrieval settles or a person must, what a model is asked about, once)."""
        decisions = decide_fields(
            evidence,
            load_entities()[canonical],
            self._bands,
            taken=taken_targets(mapping_set, canonical),
            may_ask=True,
        )
        asked = {field.path for field in source.fields if field.asked}
        to_ask = {d.path for d in decisions if d.verdict is Verdict.ASK and d.path not in asked}
        for outcome, count in Counter(str(d.verdict) for d in decisions).items():
            metrics.FIELDS_SCORED.labels(outcome).inc(count)
        return [e for e in evidence if e.path not in to_ask], [e for e in evidence if e.path in to_ask]

    def _proposal(
        self,
        source: DueSource,
        canonical: str | None,
        entities: tuple[ProposedEntity, ...],
        fields: Sequence[FieldEvidence],
    ) -> MappingProposal:
        return MappingProposal(
            **self._where(source), canonical_entity=canonical, entities=entities, fields=tuple(fields), method="rag"
        )

    def _where(self, source: DueSource) -> dict[str, Any]:
        tenant, connector, entity = source.key
        return {
            "tenant": tenant,
            "connector": connector,
            "entity": entity,
            "connection": source.connection,
            "model": self.version,
            "at": datetime.now(UTC),
        }


def load_scorer(settings: InferenceSettings, bands: Bands) -> SourceScorer:
    """The shipped model with the embedder of the settings. Slow. Raises ModelMisconfigured."""
    model, embedder = load_model(), choose_embedder(settings)
    targets = {name: targets_of(entity) for name, entity in load_entities().items()}
    return SourceScorer(KnownFields(Matcher(model, embedder, Corpus()).over, targets), bands=bands)


def chunks(fields: Sequence[FieldEvidence]) -> Iterator[tuple[FieldEvidence, ...]]:
    """`fields` in parts that fit into a message."""
    part: list[FieldEvidence] = []
    size = 0
    for field in fields:
        length = len(field.model_dump_json())
        if part and (len(part) == FIELDS_OF_A_MESSAGE or size + length > BYTES_OF_A_MESSAGE):
            yield tuple(part)
            part, size = [], 0
        part.append(field)
        size += length
    if part:
        yield tuple(part)
