"""One source's new fields: scored together, beside what is known of it, and sorted."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from agents import known_fields
from agents.known_fields import KnownFields
from agents.mapping_cache import MappingTable
from agents.score_source import FIELDS_OF_A_MESSAGE, SourceScorer, chunks
from mapping.candidates import Candidate, EntityCandidate, FieldDescription, FieldMatch, KnownMapping, TargetField
from mapping.corpus import Corpus
from mapping.decide import Bands
from mapping.mapping_set import Mapping as FieldMapping
from mapping.mapping_set import MappingSet
from registry.known_mappings import KnownField
from registry.novel_fields import DueSource, KeptField
from schemas.messages import FieldEvidence, FieldProfile

KEY = ("acme", "crm", "client")
TARGETS = {"customer": [TargetField("customer", "emails")]}
SET = MappingSet(
    connector="crm",
    entity="client",
    epoch=1,
    revision=1,
    ignored=("internal",),
    mappings=(FieldMapping(canonical_entity="customer", canonical_field="emails", source_field="mail"),),
)


class FakeMatcher:
    """Knows a field by its own name; `entity` is what it takes any source for, with `certainty`."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.version = "1"
        self.calibrated = 0
        self.certainty = 0.99
        self.asked: list[list[str]] = []

    def match_fields(
        self, _connector: str, _entity: str, canonical: str, fields: Sequence[FieldDescription], targets: Any
    ) -> list[FieldMatch]:
        self.asked.append([field.path for field in fields])
        chances = {"description": 0.99, "maybe": 0.6, "mail2": 0.99}
        names = {"mail2": "emails"}
        return [
            FieldMatch(
                field.path,
                (Candidate(TargetField(canonical, names.get(field.path, "description")), chances[field.path], {}),)
                if field.path in chances
                else (),
                0.0 if field.path in chances else 0.99,
            )
            for field in fields
        ]

    def match_entity(
        self, _connector: str, _entity: str, _fields: Any, entities: Mapping[str, Any]
    ) -> list[EntityCandidate]:
        assert "customer" in entities
        return [EntityCandidate("customer", self.certainty), EntityCandidate(None, 1 - self.certainty)]

    def calibrate(self, targets: Mapping[str, Sequence[TargetField]]) -> int:
        assert "emails" in {target.name for target in targets["customer"]}
        self.calibrated += 1
        return len(self.corpus)


class Teaching:
    """Which tenants have decided anything themselves."""

    tenants: tuple[str, ...] = ()

    def __init__(self, _pool: Any) -> None: ...

    def teaches(self, tenant: str) -> bool:
        return tenant in self.tenants


@pytest.fixture
def matcher(monkeypatch: pytest.MonkeyPatch) -> FakeMatcher:
    monkeypatch.setattr(known_fields, "known_mappings", lambda _pool, tenant=None: [])
    monkeypatch.setattr(known_fields, "NovelFieldStore", Teaching)
    return FakeMatcher(Corpus())


def kept(path: str, *, is_new: bool = True, asked: bool = False) -> KeptField:
    return KeptField(path, ("string",), (), FieldProfile(), 1, is_new, asked, datetime.now(UTC))


def score(matcher: FakeMatcher, *fields: KeptField, table: MappingTable | None = None, **source: Any) -> Any:
    scorer = SourceScorer(KnownFields(lambda _corpus: matcher, TARGETS), bands=Bands())
    due = DueSource(KEY, "crm", source.get("canonical"), source.get("chosen", False), fields)
    return scorer.score(due, table or MappingTable(), pool=None)  # type: ignore[arg-type]


def known() -> MappingTable:
    return MappingTable(1, 1, {SET.key: SET})


def test_new_fields_are_scored_beside_all_that_is_known(matcher: FakeMatcher) -> None:
    scored = score(matcher, kept("description"), kept("other", is_new=False), table=known())
    assert matcher.asked == [["description", "other", "internal", "mail"]]
    (proposal,) = scored.proposals
    assert (proposal.canonical_entity, proposal.method, proposal.model) == ("customer", "rag", "1")
    assert [field.path for field in proposal.fields] == ["description"]
    assert proposal.fields[0].candidates[0].transform.op == "copy"
    assert not scored.waits


def test_what_retrieval_cannot_tell_is_asked_about_once(matcher: FakeMatcher) -> None:
    scored = score(matcher, kept("maybe"), kept("description"), table=known())
    assert [field.path for field in scored.unresolved[0].fields] == ["maybe"]
    again = score(matcher, kept("maybe", asked=True), table=known())
    assert again.unresolved == ()
    assert [field.path for field in again.proposals[0].fields] == ["maybe"]


def test_a_target_that_is_taken_is_a_persons_matter(matcher: FakeMatcher) -> None:
    scored = score(matcher, kept("mail2"), table=known())
    assert [field.path for field in scored.proposals[0].fields] == ["mail2"]
    assert scored.unresolved == ()


def test_a_source_that_nobody_knows(matcher: FakeMatcher) -> None:
    certain = score(matcher, kept("description"))
    assert certain.proposals[0].canonical_entity == "customer"
    assert certain.proposals[0].entities[0].entity == "customer"
    matcher.certainty = 0.9
    doubtful = score(matcher, kept("description"))
    assert doubtful.waits
    assert doubtful.proposals[0].canonical_entity is None
    assert doubtful.proposals[0].fields == ()
    chosen = score(matcher, kept("description"), canonical="contact", chosen=True)
    assert chosen.proposals[0].canonical_entity == "contact"
    none_of_ours = score(matcher, kept("description"), chosen=True)
    assert none_of_ours.waits
    assert none_of_ours.proposals == ()


def test_messages_stay_small() -> None:
    many = [FieldEvidence(path=f"f{n}") for n in range(FIELDS_OF_A_MESSAGE * 2 + 1)]
    assert [len(part) for part in chunks(many)] == [FIELDS_OF_A_MESSAGE, FIELDS_OF_A_MESSAGE, 1]
    long = [FieldEvidence(path="x" * 300_000) for _ in range(3)]
    assert [len(part) for part in chunks(long)] == [1, 1, 1]


def test_the_corpus_follows_the_registry_and_reads_no_more_than_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    reads: list[str | None] = []
    stored = [KnownField("a", "e", "x", None, "customer", "emails"), KnownField("b", "e", "y", None, "customer", None)]
    # of two reference vendors, one has a namesake here that people have decided about
    reference = [KnownField(name, "e", "y", None, "customer", "emails", True) for name in ("b", "r")]

    def read(_pool: Any, tenant: str | None = None) -> list[KnownField]:
        reads.append(tenant)
        clock[0] += 1.0  # reading takes a second
        return list(stored)

    monkeypatch.setattr(known_fields, "known_mappings", read)
    monkeypatch.setattr(known_fields, "reference_mappings", lambda: reference)
    monkeypatch.setattr(known_fields, "NovelFieldStore", Teaching)
    known = KnownFields(FakeMatcher, TARGETS, clock=lambda: clock[0])
    table = MappingTable(1, 1, {SET.key: SET})
    corpus: Corpus = known.matcher("acme", table, None).corpus  # type: ignore[arg-type, attr-defined]
    assert {(m.connector, m.canonical_field) for m in corpus} == {("a", "emails"), ("b", None), ("r", "emails")}
    stored[1] = KnownField("b", "e", "y", None, "customer", "phones")
    newer = MappingTable(1, 2, {SET.key: SET})
    known.matcher("acme", newer, None)  # type: ignore[arg-type]
    assert reads == [None]  # too soon
    clock[0] += 20
    known.matcher("globex", newer, None)  # type: ignore[arg-type]
    assert reads == [None, None]
    expected = KnownMapping("b", "e", "y", None, "customer", "phones")
    assert [m for m in corpus.of_entity("customer") if m.connector == "b"] == [expected]
    monkeypatch.setattr(Teaching, "tenants", ("acme",))
    assert known.matcher("acme", newer, None).corpus is not corpus  # type: ignore[arg-type, attr-defined]
    assert reads == [None, None, "acme"]


def test_how_far_to_believe_the_model_is_learned_anew_when_much_was_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeded = [KnownField("s", "e", f"s{n}", None, "customer", "emails", True) for n in range(50)]
    decided: list[KnownField] = []
    monkeypatch.setattr(known_fields, "known_mappings", lambda _pool, tenant=None: [*seeded, *decided])
    monkeypatch.setattr(known_fields, "NovelFieldStore", Teaching)
    known = KnownFields(FakeMatcher, TARGETS, clock=lambda: 0.0)
    revision = iter(range(1, 100))

    def calibrated() -> int:
        table = MappingTable(1, next(revision), {SET.key: SET})
        count: int = known.matcher("acme", table, None).calibrated  # type: ignore[arg-type, attr-defined]
        return count

    assert calibrated() == 0, "nobody has decided anything"
    decided += [KnownField("d", "e", f"d{n}", None, "customer", "emails") for n in range(10)]
    assert calibrated() == 1
    decided += [KnownField("d", "e", "little", None, "customer", "emails")]
    assert calibrated() == 1
    decided += [KnownField("d", "e", f"more{n}", None, "customer", "emails") for n in range(5)]
    assert calibrated() == 2
    decided.clear()
    assert calibrated() == 3, "what was taken back teaches nothing"
