"""What the publisher is given: every change, in order, complete, and no less after a restore."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from pydantic import SecretStr

from mapping.mapping_set import Mapping, MappingSet
from registry import errors
from registry.audit import AuditTrail
from registry.mapping_store import MappingStore
from registry.outbox import Outbox, Publication
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


@pytest.fixture
def outbox(pool: Pool) -> Outbox:
    return Outbox(pool)


@pytest.fixture
def store(pool: Pool) -> MappingStore:
    return MappingStore(pool)


def put(store: MappingStore, entity: str, path: str) -> int:
    mapping = Mapping(canonical_entity="contact", canonical_field="title", source_field=path)
    return store.set_mapping(connector="crm", entity=entity, mapping=mapping, method="manual", actor="ann")


def publish(outbox: Outbox) -> Publication:
    publication = outbox.pending()
    assert publication is not None
    outbox.mark_published(publication.epoch, publication.revision)
    return publication


def test_the_first_publication_is_full_even_if_there_is_nothing(outbox: Outbox) -> None:
    assert publish(outbox) == Publication(epoch=1, revision=0, sets=(), changes=(), full=True)
    assert outbox.pending() is None


def test_changes_are_coalesced_by_set(outbox: Outbox, store: MappingStore) -> None:
    put(store, "untouched", "a")
    publish(outbox)
    for entity, path in (("person", "a"), ("lead", "b"), ("person", "c")):
        put(store, entity, path)
    assert outbox.oldest_pending_seconds() >= 0
    publication = outbox.pending()
    assert publication == outbox.pending(), "the same again until it is marked"
    assert publication is not None
    assert not publication.full
    assert [(s.entity, s.revision, s.mappings[0].source_field) for s in publication.sets] == [
        ("lead", 3, "b"),
        ("person", 4, "c"),
    ]
    assert [(c.revision, c.key[2]) for c in publication.changes] == [(2, "person"), (3, "lead"), (4, "person")]
    put(store, "person", "d")
    outbox.mark_published(publication.epoch, publication.revision)
    assert [s.mappings[0].source_field for s in publish(outbox).sets] == ["d"]


def test_no_change_is_missed_while_a_long_transaction_is_open(
    outbox: Outbox, store: MappingStore, database_url: str
) -> None:
    """A reader polls all the while; each revision must reach it exactly once, in order."""
    publish(outbox)
    done = threading.Event()
    seen: list[int] = []

    def poll() -> None:
        last = False
        while not last:
            last = done.is_set()
            publication = outbox.pending()
            if publication is not None:
                seen.extend(change.revision for change in publication.changes)
                outbox.mark_published(publication.epoch, publication.revision)

    with psycopg.connect(database_url) as long, ThreadPoolExecutor(21) as threads:
        long.execute("CREATE TABLE held (id int)")  # takes a transaction id, and keeps it
        reader = threads.submit(poll)
        revisions = list(threads.map(lambda n: put(store, f"entity{n % 5}", f"field{n}"), range(60)))
        done.set()
        reader.result()
    assert sorted(revisions) == seen == list(range(1, 61))


def test_an_uncommitted_writer_holds_back_later_revisions(outbox: Outbox, store: MappingStore, pool: Pool) -> None:
    publish(outbox)
    waiting = threading.Event()
    release = threading.Event()

    def hold(_: MappingSet) -> None:
        waiting.set()
        release.wait(5)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(put, MappingStore(pool, validate=hold), "person", "slow")
        assert waiting.wait(5)
        fast = threads.submit(put, store, "lead", "fast")
        assert outbox.pending() is None
        release.set()
        assert (slow.result(), fast.result()) == (1, 2)
    assert [c.key[2] for c in publish(outbox).changes] == ["person", "lead"]


def test_an_empty_topic_is_owed_everything(outbox: Outbox, store: MappingStore) -> None:
    put(store, "person", "a")
    publish(outbox)
    assert not outbox.reconcile((1, 1))
    assert outbox.reconcile(None)
    assert publish(outbox).full
    assert not outbox.reconcile((1, 1))


def test_a_topic_that_lost_its_end_is_owed_everything(outbox: Outbox, store: MappingStore) -> None:
    for path in ("a", "b"):
        put(store, "person", path)
    publish(outbox)
    assert outbox.reconcile((1, 1))


def test_a_publisher_that_died_before_marking_is_no_restore(outbox: Outbox, store: MappingStore) -> None:
    publish(outbox)
    put(store, "person", "a")
    assert outbox.pending() is not None  # committed to Kafka, never marked
    assert not outbox.reconcile((1, 1))
    assert publish(outbox).epoch == 1


def test_a_restored_database_raises_its_epoch(outbox: Outbox, store: MappingStore) -> None:
    """The topic shows revision 5 of a database that now knows 2, even if it has since counted to 6."""
    for path in ("a", "b"):
        put(store, "person", path)
    publish(outbox)
    for path in ("c", "d", "e", "f"):
        put(store, "person", path)
    assert outbox.reconcile((1, 5))
    lost = ("*", "crm", "lost")
    publication = outbox.everything([("*", "crm", "person"), lost])
    assert (publication.epoch, publication.revision, publication.full) == (2, 6, True)
    assert [(s.key[2], s.version, len(s.mappings)) for s in publication.sets] == [
        ("person", (2, 6), 1),
        ("lost", (2, 6), 0),
    ]
    assert outbox.reconcile((1, 5)), "still due until it is marked"
    outbox.mark_published(publication.epoch, publication.revision)
    assert not outbox.reconcile((2, 6))
    assert outbox.pending() is None


def test_a_raised_epoch_demands_everything(outbox: Outbox, store: MappingStore) -> None:
    put(store, "person", "a")
    publish(outbox)
    assert outbox.raise_epoch(7) == 8
    assert outbox.raise_epoch(3) == 8
    publication = publish(outbox)
    assert (publication.epoch, publication.full, publication.sets[0].version) == (8, True, (8, 1))


def test_after_a_restore_everything_is_due_above_what_was_published(
    outbox: Outbox, store: MappingStore, pool: Pool
) -> None:
    put(store, "person", "a")
    publish(outbox)
    topic = [("*", "crm", "person"), ("*", "crm", "lost")]
    assert outbox.recover((3, 9), topic, actor="ann") == (4, 10)
    publication = publish(outbox)
    assert (publication.epoch, publication.revision, publication.full) == (4, 10, True)
    assert [(s.entity, len(s.mappings)) for s in publication.sets] == [("lost", 0), ("person", 1)]
    assert put(store, "person", "b") == 11
    *_, entry, _ = AuditTrail(pool).read()
    assert (entry.action, entry.actor, entry.tenant) == ("recover", "ann", "*")
    assert (entry.before, entry.after) == ({"epoch": 1, "revision": 1}, {"epoch": 4, "revision": 10})
    assert outbox.recover((4, 10), topic, actor="ann")[0] == 5, "asked for again, it publishes again"
    assert outbox.recover(None, [], actor="ann")[0] == 6, "a topic that is gone"


def test_what_was_published_long_ago_is_pruned_and_nothing_else(
    outbox: Outbox, store: MappingStore, pool: Pool, database_url: str
) -> None:
    for path in ("a", "b"):
        put(store, "person", path)
        publish(outbox)
    put(store, "person", "c")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE outbox SET published_at = now() - interval '2 hours' WHERE revision = 1")
    assert outbox.prune(3600) == 1
    assert outbox.prune(3600) == 0
    assert outbox.prune(0) == 1
    assert [change.revision for change in publish(outbox).changes] == [3]
    assert [entry.revision for entry in AuditTrail(pool).read()] == [1, 2, 3]


def test_one_publisher_leads_and_the_next_takes_over(outbox: Outbox) -> None:
    with outbox.try_lead() as first:
        assert first is not None
        with outbox.try_lead() as second:
            assert second is None
    with outbox.try_lead() as third:
        assert third is not None


def test_a_leader_is_woken_by_a_change(outbox: Outbox, store: MappingStore) -> None:
    with outbox.try_lead() as leadership, ThreadPoolExecutor(1) as threads:
        assert leadership is not None
        assert not leadership.wait(0.05)
        woken = threads.submit(leadership.wait, 20)
        put(store, "person", "a")
        assert woken.result()
        put(store, "person", "a")
        assert not leadership.wait(0.05), "no change, no wake-up"


def test_a_leader_whose_session_died_is_told(outbox: Outbox, database_url: str) -> None:
    with outbox.try_lead() as leadership:
        assert leadership is not None
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        with pytest.raises(errors.RegistryUnavailable):
            leadership.wait(1)
        with outbox.try_lead() as successor:
            assert successor is not None
