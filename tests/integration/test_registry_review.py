"""The review queue on a real Postgres: what is asked, in which order, and what each answer does."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from mapping.mapping_set import Mapping, Transform
from registry import errors
from registry.audit import AuditFilter, AuditTrail
from registry.edits import SetEdit
from registry.known_mappings import KnownField, known_mappings
from registry.mapping_store import MappingStore
from registry.pool import Pool, open_pool
from registry.review import ReviewFilter, ReviewQueue
from registry.review_items import ReviewItem
from registry.settings import RegistrySettings


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


@pytest.fixture
def queue(pool: Pool) -> ReviewQueue:
    return ReviewQueue(pool)


@pytest.fixture
def store(pool: Pool) -> MappingStore:
    return MappingStore(pool)


def item(path: str = "job", *fields: str, tenant: str = "acme", **more: Any) -> ReviewItem:
    candidates = [
        {"field": field, "probability": 0.9 - n / 10, "signals": {"name": 0.8}, "transform": {"op": "copy"}}
        for n, field in enumerate(fields or ("title", "lead_source"))
    ]
    usual: dict[str, Any] = {
        "tenant": tenant,
        "connector": "crm",
        "entity": "person",
        "path": path,
        "canonical_entity": "contact",
        "candidates": candidates,
        "reason": "two fields are alike",
        "profile": {"types": ["string"], "shapes": ["Aaaa"]},
        "volume": 10,
        "doubt": 0.2,
    }
    return ReviewItem(**usual | more)


def in_force(store: MappingStore, tenant: str = "acme") -> dict[str, str | None]:
    found = store.load_set(tenant, "crm", "person")
    return {m.canonical_field: m.source_field for m in found.mappings} if found else {}


def provisional(path: str = "job") -> Mapping:
    return Mapping(
        canonical_entity="contact",
        canonical_field="title",
        source_field=path,
        confidence=0.9,
        status="provisional",
    )


def test_what_waits_longest_and_is_most_doubtful_comes_first(queue: ReviewQueue) -> None:
    queue.add([item("a", volume=10, doubt=0.2), item("b", volume=100, doubt=0.1), item("c", volume=1, doubt=0.9)])
    assert [group.item.path for group in queue.list()] == ["b", "a", "c"]
    first = queue.next()
    assert first is not None
    assert first.item == item("b", volume=100, doubt=0.1)
    assert queue.next("nobody") is None


def test_the_same_question_again_adds_its_volume(queue: ReviewQueue) -> None:
    queue.add([item(volume=10)])
    queue.add([item(volume=5, reason="still")])
    (group,) = queue.list()
    assert (group.item.volume, group.item.reason, group.tenants) == (15, "still", ("acme",))


def test_one_decision_settles_all_that_ask_the_same(queue: ReviewQueue, store: MappingStore) -> None:
    queue.add([item(tenant="acme"), item(tenant="globex"), item("job", "lead_source", tenant="other")])
    group, other = queue.list()
    assert (group.tenants, group.item.volume, other.tenants) == (("acme", "globex"), 20, ("other",))
    revision = queue.accept(group.id, actor="ann", reason="seen in the docs")
    assert queue.accept(group.id, actor="ann") == revision == 1
    assert in_force(store, "acme") == in_force(store, "globex") == {"title": "job"}
    assert in_force(store, "other") == {}
    assert [g.tenants for g in queue.list()] == [("other",)]


def test_an_acceptance_for_the_connector_is_one_mapping(queue: ReviewQueue, store: MappingStore) -> None:
    queue.add([item(tenant="acme"), item(tenant="globex")])
    queue.accept(queue.list()[0].id, actor="ann", scope="connector")
    assert in_force(store, "*") == {"title": "job"}
    assert in_force(store, "acme") == {}
    assert queue.list() == []


def test_an_accepted_provisional_mapping_is_confirmed_not_written_anew(
    queue: ReviewQueue, store: MappingStore, pool: Pool
) -> None:
    store.apply([SetEdit(("acme", "crm", "person"), mappings=(provisional(),))], method="rag", actor="aam")
    queue.add([item()])
    assert queue.accept(queue.list()[0].id, actor="ann", reason="yes") == 2
    (version,) = store.list_mappings(history=True)
    assert (version.version, version.status, version.method, version.approved_by) == (1, "active", "rag", "ann")
    assert (version.active_from, version.confirmed_from, version.active_until) == (1, 2, None)
    *_, last = AuditTrail(pool).read()
    assert (last.action, last.actor, last.reason, last.version) == ("accept", "ann", "yes", 1)
    assert last.before is not None
    assert last.after is not None
    assert (last.before["status"], last.after["status"]) == ("provisional", "active")
    assert last.evidence is not None
    assert last.evidence["candidates"][0]["field"] == "title"


def test_a_rejected_provisional_mapping_goes(queue: ReviewQueue, store: MappingStore, pool: Pool) -> None:
    store.apply([SetEdit(("acme", "crm", "person"), mappings=(provisional(),))], method="rag", actor="aam")
    queue.add([item()])
    group = queue.list()[0]
    assert queue.reject(group.id, actor="ann", reason="it is a hobby") == 2
    assert in_force(store) == {}
    assert queue.reject(group.id, actor="ann") == 2
    reasons = {entry.reason for entry in AuditTrail(pool).read(AuditFilter(actor="ann"))}
    assert reasons == {"it is a hobby"}


def test_a_rejected_item_stays_so_until_the_answer_may_be_another(queue: ReviewQueue) -> None:
    queue.add([item()])
    queue.reject(queue.list()[0].id, actor="ann")
    queue.add([item()])
    assert queue.list() == []
    queue.add([item("job", "lead_source")])
    assert [g.item.candidates[0]["field"] for g in queue.list()] == ["lead_source"]


def test_another_target_can_be_chosen(queue: ReviewQueue, store: MappingStore) -> None:
    store.apply([SetEdit(("acme", "crm", "person"), mappings=(provisional(),))], method="rag", actor="aam")
    queue.add([item()])
    queue.choose(queue.list()[0].id, ("contact", "lead_source"), Transform(op="lower"), actor="ann")
    assert in_force(store) == {"lead_source": "job"}
    (mapping,) = store.list_mappings()
    assert (mapping.method, mapping.mapping.transform.op) == ("manual", "lower")


def test_an_ignored_path_is_declared_and_known_as_nothing(queue: ReviewQueue, store: MappingStore, pool: Pool) -> None:
    name = Mapping(canonical_entity="contact", canonical_field="display_name", source_field="name")
    store.set_mapping(connector="crm", entity="person", mapping=name, method="manual", actor="ann")
    queue.add([item("etag")])
    queue.ignore(queue.list()[0].id, actor="ann", scope="connector")
    found = store.load_set("*", "crm", "person")
    assert found is not None
    assert found.ignored == ("etag",)
    assert known_mappings(pool) == [
        KnownField("crm", "person", "name", None, "contact", "display_name"),
        KnownField("crm", "person", "etag", None, "contact", None),
    ]


def test_what_a_machine_decided_alone_and_another_tenants_fields_teach_nobody(
    queue: ReviewQueue, store: MappingStore, pool: Pool
) -> None:
    sure = provisional("role").model_copy(update={"status": "active"})
    store.apply([SetEdit(("*", "crm", "person"), mappings=(sure,))], method="rag", actor="aam")
    queue.add([item()])
    queue.accept(queue.list()[0].id, actor="ann")
    assert known_mappings(pool) == []
    assert [known.path for known in known_mappings(pool, tenant="acme")] == ["job"]


def test_a_bulk_acceptance_leaves_open_what_needs_a_look(queue: ReviewQueue, store: MappingStore) -> None:
    approved = Mapping(canonical_entity="contact", canonical_field="lead_source", source_field="origin")
    store.set_mapping(tenant="acme", connector="crm", entity="person", mapping=approved, method="manual", actor="ann")
    no_transform = {"field": "phone", "probability": 0.9, "signals": {}, "transform": None}
    weak = {"field": "title", "probability": 0.6, "signals": {}, "transform": {"op": "copy"}}
    queue.add(
        [
            item("job"),
            item("role", candidates=[weak]),
            item("source", "lead_source"),
            item("tel", candidates=[no_transform]),
            item("none", candidates=[]),
        ]
    )
    assert queue.accept_all(ReviewFilter(connector="crm"), actor="bob") == (1, 2)
    assert in_force(store) == {"lead_source": "origin", "title": "job"}
    assert {g.item.path for g in queue.list()} == {"role", "source", "tel", "none"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"candidates": []}, "job has no candidate"),
        ({"candidates": [{"field": "phone", "probability": 0.9, "transform": None}]}, "no transform is sure"),
        (
            {"canonical_entity": None, "candidates": [{"field": "x", "probability": 1, "transform": {}}]},
            "needs a canonical",
        ),
    ],
)
def test_what_cannot_be_accepted_is_told_and_stays_open(queue: ReviewQueue, asked: dict[str, Any], said: str) -> None:
    queue.add([item(**asked)])
    group = queue.list()[0]
    with pytest.raises((errors.InvalidDecision, errors.InvalidMapping), match=said):
        queue.accept(group.id, actor="ann")
    assert queue.list() == [group]


def test_a_decision_is_not_overturned_by_another(queue: ReviewQueue) -> None:
    queue.add([item()])
    group = queue.list()[0]
    queue.accept(group.id, actor="ann")
    with pytest.raises(errors.InvalidDecision, match="ann has accepted"):
        queue.reject(group.id, actor="bob")
    with pytest.raises(errors.InvalidDecision, match="no review item 99"):
        queue.accept(99, actor="ann")


def test_who_may_not_approve_themselves_chooses_among_candidates(pool: Pool) -> None:
    queue = ReviewQueue(pool, bar_self_approval=True)
    queue.add([item()])
    group = queue.list()[0]
    with pytest.raises(errors.InvalidDecision, match="AAM_BAR_SELF_APPROVAL"):
        queue.choose(group.id, ("contact", "display_name"), actor="ann")
    assert queue.choose(group.id, ("contact", "lead_source"), actor="ann") == 1


def test_what_has_settled_itself_is_withdrawn(queue: ReviewQueue) -> None:
    queue.add([item("a"), item("b")])
    queue.withdraw([("acme", "crm", "person", "a"), ("acme", "crm", "person", "none")])
    assert [group.item.path for group in queue.list()] == ["b"]


def test_what_an_entity_is_can_be_said(queue: ReviewQueue, store: MappingStore, pool: Pool) -> None:
    asked = [{"field": "contact", "probability": 0.6, "signals": {}, "transform": None}]
    queue.add([item("", canonical_entity=None, candidates=asked)])
    assert queue.choose(queue.list()[0].id, ("customer", ""), actor="ann") == 0
    assert (queue.list(), store.list_mappings()) == ([], [])
    (entry,) = AuditTrail(pool).read()
    assert (entry.action, entry.after) == ("choose", {"canonical_entity": "customer"})
