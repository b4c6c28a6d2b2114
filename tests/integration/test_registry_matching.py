"""Novel fields, entity choices and model budgets in a real Postgres."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from registry.entity_choices import choose_entity
from registry.llm_budget import LlmBudget
from registry.novel_fields import FieldVerdict, NovelFieldStore, record_verdicts
from registry.pool import Pool, open_pool, transaction
from registry.settings import RegistrySettings
from schemas.messages import FieldProfile, NovelField

AT = datetime(2026, 11, 24, tzinfo=UTC)
KEY = ("acme", "crm", "person")


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(RegistrySettings(database_url=SecretStr(database_url))) as opened:
        yield opened


def novel(path: str | None, **given: Any) -> NovelField:
    where = dict(zip(("tenant", "connector", "entity"), KEY, strict=True))
    reason = "unknown_source" if path is None else "unmapped"
    return NovelField(**{**where, "connection": "crm", "path": path, "reason": reason, "announced_at": AT, **given})


def test_fields_are_gathered_claimed_once_and_settled(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    mail = novel("mail", types=("string", "null"), shapes=("aa@aa.aa",), profile=FieldProfile(records=9, present=7))
    long = "x" * 5_000
    store.keep([novel(None), mail, novel(long), novel("mail", types=("null",))], gather_seconds=60)
    assert store.claim(sources=9, lease_seconds=60) == []
    store.keep([mail], gather_seconds=0)
    assert store.claim(sources=9, lease_seconds=60) == []  # the first one's time counts
    choose_now(pool, "contact")
    (due,) = store.claim(sources=9, lease_seconds=60)
    assert (due.key, due.canonical_entity, due.chosen) == (KEY, "contact", True)
    assert [field.path for field in due.fields] == ["mail", long]
    assert due.fields[0].types == ("string",)
    assert due.fields[0].profile == mail.profile
    assert store.claim(sources=9, lease_seconds=60) == []
    store.settled(due)
    assert [field.is_new for field in store.fields_of(KEY)] == [False, False]
    store.keep([mail], gather_seconds=0)
    assert [f.is_new for f in store.claim(sources=1, lease_seconds=60)[0].fields] == [True, False]


def test_what_is_announced_while_it_is_scored_stays_new(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    store.keep([novel("a")], gather_seconds=0)
    (due,) = store.claim(sources=1, lease_seconds=60)
    store.keep([novel("a"), novel("b")], gather_seconds=0)
    store.settled(due)
    (again,) = store.claim(sources=1, lease_seconds=60)
    assert [field.is_new for field in again.fields] == [True, True]


def test_a_source_waits_for_its_entity_and_a_dead_claimant_loses_its_claim(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    store.keep([novel("a")], gather_seconds=0)
    (due,) = store.claim(sources=1, lease_seconds=0)
    assert store.claim(sources=1, lease_seconds=60)
    store.settled(due, waits=True)
    assert store.claim(sources=1, lease_seconds=60) == []
    choose_now(pool, None)
    (due,) = store.claim(sources=1, lease_seconds=60)
    assert (due.canonical_entity, due.chosen, due.fields[0].is_new) == (None, True, True)


def test_an_entity_chosen_before_the_source_was_settled_is_not_overlooked(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    store.keep([novel("a")], gather_seconds=0)
    (due,) = store.claim(sources=1, lease_seconds=60)
    choose_now(pool, "contact")
    store.settled(due, waits=True)
    (again,) = store.claim(sources=1, lease_seconds=60)
    assert (again.canonical_entity, again.fields[0].is_new) == ("contact", True)


def test_another_entity_chosen_while_the_source_is_scored_has_it_scored_again(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    store.keep([novel("a")], gather_seconds=0)
    choose_now(pool, "lead")
    (due,) = store.claim(sources=1, lease_seconds=60)
    choose_now(pool, "contact")
    store.settled(due)
    (again,) = store.claim(sources=1, lease_seconds=60)
    assert (again.canonical_entity, again.fields[0].is_new) == ("contact", True)


def test_verdicts_can_be_explained(pool: Pool) -> None:
    store = NovelFieldStore(pool)
    store.keep([novel("a"), novel("b")], gather_seconds=0)
    with transaction(pool) as connection:
        verdict = FieldVerdict("a", "review", "doubtful", {"candidates": []})
        record_verdicts(connection, KEY, [verdict], method="rag", model="1")
    (found,) = store.explain("crm", "person", "a")
    assert (found.verdict, found.reason, found.evidence) == ("review", "doubtful", {"candidates": []})
    (unscored,) = store.explain("crm", "person", "b", tenant="acme")
    assert unscored.verdict is None
    assert store.explain("crm", "person", "a", tenant="globex") == []


def test_workers_together_never_spend_more_than_the_budget(pool: Pool) -> None:
    budget = LlmBudget(pool, calls_per_month=5, tokens_per_month=1_000)
    with ThreadPoolExecutor(8) as workers:
        reserved = list(workers.map(lambda _: budget.reserve("acme", tokens=100), range(8)))
    granted = [reservation for reservation in reserved if reservation is not None]
    assert len(granted) == 5
    for reservation in granted[:3]:
        budget.settle(reservation, tokens=250, usd=0.01)
        budget.settle(reservation, tokens=250, usd=0.01)
    (usage,) = budget.usage()
    assert (usage.calls, usage.tokens, round(usage.usd, 2)) == (3, 750, 0.03)
    assert budget.reserve("acme", tokens=1) is None  # three spent, two under way
    assert budget.reserve("globex", tokens=1_001) is None
    assert budget.reserve("globex", tokens=1_000) is not None


def test_a_reservation_that_nobody_settled_counts_as_spent_and_a_new_month_is_new(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.llm_budget.EXPIRY_SECONDS", -1.0)
    budget = LlmBudget(pool, calls_per_month=9, tokens_per_month=100, today=lambda: AT)
    assert budget.reserve("acme", tokens=60) is not None
    assert budget.reserve("acme", tokens=60) is None
    (usage,) = budget.usage()
    assert (usage.calls, usage.tokens) == (1, 60)
    budget.set_limit("acme", calls_per_month=9, tokens_per_month=500)
    assert budget.reserve("acme", tokens=60) is not None
    later = LlmBudget(pool, calls_per_month=9, tokens_per_month=100, today=lambda: AT.replace(month=12))
    assert later.usage() == []
    assert later.reserve("acme", tokens=60) is not None


def choose_now(pool: Pool, entity: str | None) -> None:
    with transaction(pool) as connection:
        choose_entity(connection, KEY, entity, actor="ann")
