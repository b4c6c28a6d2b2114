"""Approval, rollback and experiments on a real Postgres, and that every past revision can be told exactly."""

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from pydantic import SecretStr

from mapping.experiment import set_of_arm
from mapping.mapping_set import Mapping, MappingSet, compose
from registry import errors
from registry.approvals import Approvals, UndecidedFilter
from registry.audit import AuditFilter, AuditTrail
from registry.edits import SetEdit
from registry.experiments import Experiments
from registry.history import History
from registry.mapping_store import MappingStore, StoredMapping
from registry.outbox import Outbox
from registry.pool import Pool, open_pool
from registry.rollback import Rollbacks, RollbackScope
from registry.settings import RegistrySettings

KEY = ("*", "crm", "person")
TITLE = ("contact", "title")
EVERYTHING = RollbackScope()


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


@pytest.fixture
def store(pool: Pool) -> MappingStore:
    return MappingStore(pool)


@pytest.fixture
def approvals(pool: Pool) -> Approvals:
    return Approvals(pool)


@pytest.fixture
def rollbacks(pool: Pool) -> Rollbacks:
    return Rollbacks(pool)


@pytest.fixture
def experiments(pool: Pool) -> Experiments:
    return Experiments(pool)


@pytest.fixture
def trail(pool: Pool) -> AuditTrail:
    return AuditTrail(pool)


def title(path: str, **more: object) -> Mapping:
    return Mapping.model_validate(
        {"canonical_entity": "contact", "canonical_field": "title", "source_field": path, **more}
    )


def put(store: MappingStore, path: str, *, tenant: str = "*", field: str = "title") -> int:
    return store.set_mapping(
        tenant=tenant,
        connector="crm",
        entity="person",
        mapping=title(path, canonical_field=field),
        method="manual",
        actor="ann",
    )


def propose(approvals: Approvals, path: str, *, actor: str = "ann", field: str = "title") -> StoredMapping:
    mapping = title(path, canonical_field=field)
    return approvals.propose(connector="crm", entity="person", mapping=mapping, actor=actor, reason="I looked")


def in_force(store: MappingStore, tenant: str = "*") -> dict[str, str | None]:
    found = store.load_set(tenant, "crm", "person")
    return {m.canonical_field: m.source_field for m in found.mappings} if found else {}


def statuses(store: MappingStore) -> list[str]:
    return [version.status for version in store.list_mappings(history=True)]


def test_a_proposal_changes_nothing_until_it_is_approved(approvals: Approvals, store: MappingStore, pool: Pool) -> None:
    put(store, "job")
    proposed = propose(approvals, "role", actor="bob")
    assert (proposed.version, proposed.status, proposed.created_by) == (2, "proposed", "bob")
    assert propose(approvals, "role", actor="eve").id == proposed.id
    assert in_force(store) == {"title": "job"}
    assert History(pool).revision() == 1
    assert approvals.approve([proposed.id], actor="ann", reason="right") == 2
    assert approvals.approve([proposed.id], actor="ann") == 2
    assert in_force(store) == {"title": "role"}
    assert statuses(store) == ["superseded", "active"]
    (version,) = store.list_mappings()
    assert (version.id, version.approved_by, version.active_from) == (proposed.id, "ann", 2)


def test_every_move_is_in_the_trail(approvals: Approvals, store: MappingStore, trail: AuditTrail) -> None:
    put(store, "job")
    first, second = propose(approvals, "role", actor="bob"), propose(approvals, "rank", actor="eve")
    approvals.approve([second.id], actor="ann", reason="right")
    assert statuses(store) == ["superseded", "superseded", "active"]
    told = [
        (
            entry.action,
            entry.actor,
            entry.version,
            entry.before and entry.before["status"],
            entry.after and entry.after["status"],
        )
        for entry in trail.read(AuditFilter(target=TITLE))
    ]
    assert told == [
        ("set", "ann", 1, None, "active"),
        ("propose", "bob", 2, "active", "proposed"),
        ("propose", "eve", 3, "active", "proposed"),
        ("approve", "ann", 3, "active", "active"),
        ("supersede", "ann", first.version, "proposed", "superseded"),
    ]
    assert [entry.id for entry in trail.read(after=3)] == [4, 5]


def test_a_rejected_proposal_is_closed(approvals: Approvals, store: MappingStore) -> None:
    proposed = propose(approvals, "role")
    assert approvals.reject([proposed.id], actor="bob", reason="no") == 0
    assert approvals.reject([proposed.id], actor="bob") == 0
    with pytest.raises(errors.InvalidDecision, match="is rejected: propose it anew"):
        approvals.approve([proposed.id], actor="bob")
    assert in_force(store) == {}
    assert propose(approvals, "role").version == 2


def test_provisional_mappings_are_approved_in_bulk_after_a_look(approvals: Approvals, store: MappingStore) -> None:
    fields = ("title", "lead_source", "display_name")
    found = [
        title(f"f{n}", canonical_field=f, status="provisional", confidence=0.8 + n / 20) for n, f in enumerate(fields)
    ]
    store.apply([SetEdit(KEY, mappings=tuple(found))], method="rag", actor="aam")
    seen = approvals.find(UndecidedFilter(connector="crm", min_confidence=0.84))
    assert {version.mapping.source_field for version in seen} == {"f1", "f2"}
    assert approvals.approve([version.id for version in seen], actor="ann") == 2
    assert {v.mapping.source_field: v.status for v in store.list_mappings()} == {
        "f0": "provisional",
        "f1": "active",
        "f2": "active",
    }
    (left,) = approvals.find()
    assert approvals.reject([left.id], actor="ann") == 3
    assert set(in_force(store).values()) == {"f1", "f2"}


def test_who_proposed_may_be_barred_from_approving(pool: Pool) -> None:
    approvals = Approvals(pool, bar_self_approval=True)
    proposed = propose(approvals, "role", actor="ann")
    with pytest.raises(errors.InvalidDecision, match="AAM_BAR_SELF_APPROVAL asks for somebody else"):
        approvals.approve([proposed.id], actor="ann")
    with pytest.raises(errors.InvalidDecision, match="propose it"):
        put(MappingStore(pool, bar_self_approval=True), "rank")
    assert approvals.approve([proposed.id], actor="bob") == 1


def test_fifty_approvals_of_one_field_at_once_leave_one_active_version(
    approvals: Approvals, store: MappingStore, pool: Pool
) -> None:
    proposals = [propose(approvals, f"field{n}", actor=f"p{n}") for n in range(50)]

    def approve(proposal: StoredMapping) -> int | None:
        try:
            return approvals.approve([proposal.id], actor="ann")
        except errors.InvalidDecision:
            return None  # a later proposal was approved before

    with ThreadPoolExecutor(50) as threads:
        revisions = [revision for revision in threads.map(approve, proposals) if revision is not None]
    assert sorted(revisions) == list(range(1, len(revisions) + 1))
    assert [v.revision for v in [*store.list_mappings()]] == [0]
    assert statuses(store).count("active") == 1
    assert set(statuses(store)) == {"active", "superseded"}
    publication = Outbox(pool).pending()
    assert publication is not None
    assert [change.revision for change in publication.changes] == sorted(revisions)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (title("job", canonical_field="nothing"), "no such canonical field"),
        (title("job", transform={"op": "iso_date"}), "can't give a string"),
        (title("job", fallbacks=("role", "job")), "falls back on itself"),
        (title("a..b"), "path"),
    ],
)
def test_what_could_not_be_used_is_not_even_proposed(approvals: Approvals, mapping: Mapping, said: str) -> None:
    with pytest.raises(errors.InvalidMapping, match=said):
        approvals.propose(connector="crm", entity="person", mapping=mapping, actor="ann")
    assert approvals.find() == []


def test_a_base_that_breaks_a_tenants_set_is_refused(store: MappingStore) -> None:
    def number(path: str, field: str) -> Mapping:
        return Mapping(canonical_entity="invoice", canonical_field=field, source_field=path)

    store.set_mapping(
        tenant="acme",
        connector="crm",
        entity="bill",
        mapping=number("lines[].id", "number"),
        method="manual",
        actor="a",
    )
    with pytest.raises(errors.InvalidMapping, match=r"acme/crm/bill: .* from two arrays"):
        store.set_mapping(
            connector="crm", entity="bill", mapping=number("parts[].state", "status"), method="manual", actor="a"
        )


def test_one_field_is_rolled_back_once(rollbacks: Rollbacks, store: MappingStore) -> None:
    put(store, "job")
    put(store, "role")
    assert rollbacks.field(KEY, TITLE, actor="bob", dry_run=True).targets == {KEY: (TITLE,)}
    assert in_force(store) == {"title": "role"}
    assert rollbacks.field(KEY, TITLE, actor="bob", reason="wrong").revision == 3
    again = rollbacks.field(KEY, TITLE, actor="bob")
    assert (again.revision, again.targets) == (3, {})
    assert in_force(store) == {"title": "job"}
    assert rollbacks.field(KEY, TITLE, version=2, actor="bob").revision == 4
    (version,) = store.list_mappings()
    assert (version.version, version.restores, version.approved_by) == (4, 2, "bob")
    with pytest.raises(errors.InvalidDecision, match=r"version 9 of contact.title .* never held"):
        rollbacks.field(KEY, TITLE, version=9, actor="bob")


def test_a_set_goes_back_with_its_declaration_and_a_seed_leaves_it_so(
    rollbacks: Rollbacks, store: MappingStore
) -> None:
    def seed(*mappings: Mapping, ignored: tuple[str, ...] = ()) -> list[MappingSet]:
        return [MappingSet(connector="crm", entity="person", epoch=0, revision=0, mappings=mappings, ignored=ignored)]

    store.import_seed(seed(title("job")), actor="aam")
    before = store.load_set(*KEY)
    bad = seed(title("wrong"), title("x", canonical_field="lead_source"), ignored=("job",))
    store.import_seed(bad, actor="aam")
    done = rollbacks.to_revision(1, RollbackScope(connector="crm", entity="person"), actor="bob")
    assert set(done.targets[KEY]) == {TITLE, ("contact", "lead_source")}
    store.import_seed(bad, actor="aam")
    now = store.load_set(*KEY)
    assert now is not None
    assert before is not None
    assert now.mappings == before.mappings
    assert rollbacks.to_revision(1, EVERYTHING, actor="bob").targets == {}


def test_everything_since_a_moment_goes(rollbacks: Rollbacks, store: MappingStore) -> None:
    put(store, "job")
    put(store, "own", tenant="acme")
    moment = datetime.now(UTC)
    put(store, "role")
    put(store, "other", tenant="acme", field="lead_source")
    done = rollbacks.to_moment(moment, EVERYTHING, actor="bob", reason="a bad afternoon")
    assert done.revision == 5
    assert set(done.targets) == {KEY, ("acme", "crm", "person")}
    assert (in_force(store), in_force(store, "acme")) == ({"title": "job"}, {"title": "own"})
    assert rollbacks.to_moment(moment, EVERYTHING, actor="bob").revision == 5


def test_an_experiment_is_live_beside_what_holds(
    experiments: Experiments, approvals: Approvals, store: MappingStore, pool: Pool
) -> None:
    put(store, "job")
    started = experiments.start([propose(approvals, "role").id], percent=20, actor="ann")
    assert started.started_revision == 2
    found = store.load_set(*KEY)
    assert found is not None
    assert found.experiment is not None
    assert found.experiment.percent == 20
    assert [m.source_field for m in set_of_arm(found, "A").mappings] == ["job"]
    assert [m.source_field for m in set_of_arm(found, "B").mappings] == ["role"]
    with pytest.raises(errors.InvalidDecision, match=r"an experiment runs on contact\.title"):
        put(store, "rank")
    with pytest.raises(errors.InvalidDecision, match="an experiment runs on"):
        experiments.start([propose(approvals, "rank", field="lead_source").id], percent=5, actor="ann")
    assert experiments.promote(started.id, actor="ann") == 3
    assert experiments.promote(started.id, actor="ann") == 3
    assert in_force(store) == {"title": "role"}
    now = store.load_set(*KEY)
    assert now is not None
    assert now.experiment is None
    assert History(pool).composed_set(2, *KEY) == found
    with pytest.raises(errors.InvalidDecision, match="was promoted already"):
        experiments.stop(started.id, actor="ann")


def test_a_stopped_experiment_leaves_what_held(
    experiments: Experiments, approvals: Approvals, store: MappingStore, trail: AuditTrail
) -> None:
    put(store, "job")
    started = experiments.start([propose(approvals, "role").id], percent=20, actor="ann")
    assert experiments.stop(started.id, actor="bob", reason="worse") == 3
    assert in_force(store) == {"title": "job"}
    assert statuses(store) == ["active", "rejected"]
    assert experiments.find() == []
    assert [e.outcome for e in experiments.find(ended=True)] == ["stopped"]
    assert [entry.action for entry in trail.read(AuditFilter(target=TITLE))] == [
        "set",
        "propose",
        "start_experiment",
        "stop_experiment",
    ]


def test_a_rollback_stops_the_experiments_that_began_since(
    experiments: Experiments, approvals: Approvals, rollbacks: Rollbacks, store: MappingStore
) -> None:
    put(store, "job")
    started = experiments.start([propose(approvals, "role").id], percent=20, actor="ann")
    done = rollbacks.to_revision(1, EVERYTHING, actor="bob")
    assert done.stopped_experiments == (started.id,)
    found = store.load_set(*KEY)
    assert found is not None
    assert found.experiment is None


def test_two_versions_are_live_only_in_a_running_experiment(
    approvals: Approvals, store: MappingStore, database_url: str
) -> None:
    put(store, "job")
    proposed = propose(approvals, "role")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for forbidden in (
            "UPDATE mapping_registry SET status = 'active', is_active = true, active_from = 2, confirmed_from = 2",
            "UPDATE mapping_registry SET status = 'trial'",
            "UPDATE mapping_registry SET status = 'trial', experiment_id = 7",
        ):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute(f"{forbidden} WHERE id = %s".encode(), (proposed.id,))


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_trail_is_only_added_to(store: MappingStore, database_url: str, statement: str) -> None:
    put(store, "job")
    with (
        psycopg.connect(database_url, autocommit=True) as connection,
        pytest.raises(psycopg.errors.IntegrityError, match="only added to"),
    ):
        connection.execute(statement.encode())


def test_a_revision_that_is_not_there_is_told(pool: Pool, store: MappingStore) -> None:
    put(store, "job")
    with pytest.raises(errors.InvalidDecision, match="no revision 2 yet; the registry is at 1"):
        History(pool).composed_set(2, *KEY)
    assert History(pool).composed_set(0, *KEY) is None


def test_revisions_lost_in_a_restore_are_neither_told_nor_given_again(pool: Pool, store: MappingStore) -> None:
    put(store, "job")
    assert Outbox(pool).reconcile((1, 4))
    assert put(store, "role") == 5
    with pytest.raises(errors.InvalidDecision, match="2 to 4 are not known"):
        History(pool).composed_set(3, *KEY)
    told = [History(pool).composed_set(revision, *KEY) for revision in (1, 5)]
    assert [found and found.mappings[0].source_field for found in told] == ["job", "role"]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_past_revision_is_told_as_it_was(pool: Pool, seed: int) -> None:
    """Some sixty decisions of all kinds, by turns; then every revision's composed sets are asked for again."""
    chance = random.Random(seed)
    play = _Play(pool, chance)
    was: dict[tuple[int, str], MappingSet | None] = {}
    for _ in range(60):
        play.decide()
        revision = History(pool).revision()
        for tenant in ("*", "acme", "globex"):
            was[revision, tenant] = play.composed(tenant)
    assert len(was) > 75
    for (revision, tenant), composed in was.items():
        assert History(pool).composed_set(revision, tenant, "crm", "person") == composed
        if composed is not None:
            assert History(pool).composed_set(composed.revision, tenant, "crm", "person") == composed


class _Play:
    """Decides at random; what can't be done is skipped."""

    def __init__(self, pool: Pool, chance: random.Random) -> None:
        self._chance = chance
        self._store = MappingStore(pool)
        self._approvals = Approvals(pool)
        self._rollbacks = Rollbacks(pool)
        self._experiments = Experiments(pool)
        self._history = History(pool)

    def composed(self, tenant: str) -> MappingSet | None:
        base = self._store.load_set(*KEY)
        return compose(base, None if tenant == "*" else self._store.load_set(tenant, "crm", "person"))

    def decide(self) -> None:
        ways = [self._set, self._set, self._find, self._remove, self._declare, self._propose, self._approve]
        ways += [self._reject, self._roll_back, self._start, self._end]
        with contextlib.suppress(errors.InvalidDecision):
            self._chance.choice(ways)()

    def _key(self) -> tuple[str, str, str]:
        return self._chance.choice(["*", "acme"]), "crm", "person"

    def _mapping(self, **more: object) -> Mapping:
        field = self._chance.choice(["title", "lead_source"])
        return title(f"f{self._chance.randrange(4)}", canonical_field=field, **more)

    def _set(self) -> None:
        self._store.apply([SetEdit(self._key(), mappings=(self._mapping(),))], method="manual", actor="ann")

    def _find(self) -> None:
        found = self._mapping(status="provisional", confidence=0.9)
        self._store.apply([SetEdit(self._key(), mappings=(found,))], method="rag", actor="aam")

    def _remove(self) -> None:
        self._store.apply([SetEdit(self._key(), removals=(TITLE,))], method="manual", actor="ann")

    def _declare(self) -> None:
        tenant, connector, entity = self._key()
        ignored = [f"i{self._chance.randrange(3)}"]
        self._store.declare_source(tenant=tenant, connector=connector, entity=entity, ignored=ignored, actor="ann")

    def _propose(self) -> None:
        tenant, connector, entity = self._key()
        self._approvals.propose(tenant=tenant, connector=connector, entity=entity, mapping=self._mapping(), actor="ann")

    def _one(self, *wanted: str) -> list[int]:
        open_ones = [v for v in self._approvals.find() if v.status in wanted]
        return [self._chance.choice(open_ones).id] if open_ones else []

    def _approve(self) -> None:
        self._approvals.approve(self._one("proposed", "provisional"), actor="bob")

    def _reject(self) -> None:
        self._approvals.reject(self._one("proposed", "provisional"), actor="bob")

    def _roll_back(self) -> None:
        revision = self._chance.randrange(self._history.revision() + 1)
        self._rollbacks.to_revision(revision, RollbackScope(tenant=self._key()[0]), actor="bob")

    def _start(self) -> None:
        self._experiments.start(self._one("proposed"), percent=10, actor="ann")

    def _end(self) -> None:
        for experiment in self._experiments.find():
            end = self._chance.choice([self._experiments.promote, self._experiments.stop])
            end(experiment.id, actor="bob")
