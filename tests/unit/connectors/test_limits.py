"""Limits hold in every period, and what vendors say about them is heeded."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ActionRequired, VendorUnavailable
from connectors.limits import LimitBook, reset_moment, retry_after
from connectors.request_parts import PageRequest
from connectors.vendor import LeftAlone
from schemas.spec_problems import spec_of


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def spec(**given: Any) -> Any:
    return spec_of(
        {
            "name": "acme",
            "api_base_url": "https://x.example",
            "auth_type": "none",
            "entities": {"a": {"endpoint": "/a"}, "b": {"endpoint": "/b", "cost": 5}},
            **given,
        }
    )


@settings(max_examples=25, deadline=None)
@given(limit=st.integers(1, 20), pauses=st.lists(st.floats(0, 3), min_size=1, max_size=50))
def test_no_period_ever_holds_more_than_the_limit(limit: int, pauses: list[float]) -> None:
    clock, times = Clock(), []

    async def work() -> None:
        limits = LimitBook(clock).of(spec(rate_limit=f"{limit}/10 seconds"), "a", tenant="t", connection="c")
        for pause in pauses:
            clock.at += pause
            await limits.acquire(1e9)
            times.append(clock.at)

    asyncio.run(work())
    for moment in times:
        assert sum(moment - 10 + 1e-6 < other <= moment for other in times) <= limit


def waits(
    book: LimitBook, whole: Any, entity: str, *, tenant: str = "t", connection: str = "c", times: int = 1
) -> float:
    async def work() -> float:
        before = book.clock.now()
        for _ in range(times):
            await book.of(whole, entity, tenant=tenant, connection=connection).acquire(1e9)
        return book.clock.now() - before

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ("account", {"entity": "a", "connection": "d"}),
        ("tenant", {"entity": "a", "tenant": "u"}),
        ("endpoint", {"entity": "b"}),
    ],
)
def test_a_limit_is_shared_by_its_scope_only(scope: str, other: Any) -> None:
    book = LimitBook(Clock())
    whole = spec(rate_limits=[{"limit": 5, "per": "minute", "scope": scope}])
    assert waits(book, whole, "a", times=5) == 0
    assert waits(book, whole, **other) == 0
    assert waits(book, whole, "a") > 0


def test_the_limit_of_an_app_is_shared_by_all() -> None:
    book, whole = LimitBook(Clock()), spec(rate_limits=[{"limit": 1, "per": "minute", "scope": "app"}])
    assert waits(book, whole, "a") == 0
    assert waits(book, whole, "a", tenant="u", connection="d") == pytest.approx(60, abs=0.1)


def test_costs_add_up() -> None:
    book, whole = LimitBook(Clock()), spec(rate_limits=[{"limit": 10, "per": "minute"}])
    assert waits(book, whole, "b", times=2) == 0
    assert waits(book, whole, "a") > 59


def test_a_limit_of_some_entities_leaves_others_alone() -> None:
    book, whole = LimitBook(Clock()), spec(rate_limits=[{"limit": 1, "per": "hour", "entities": ["a"]}])
    assert waits(book, whole, "b", times=3) == 0
    assert waits(book, whole, "a", times=2) > 3_500


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("30", "seconds", 1030.0), ("1500", "milliseconds", 1001.5), ("1234", "epoch_seconds", 1234.0),
        ("1234000", "epoch_milliseconds", 1234.0), ("1970-01-01T00:30:00Z", "iso8601", 1800.0),
        ("Thu, 01 Jan 1970 01:00:00 GMT", "http_date", 3600.0), ("soon", "seconds", None), ("", "iso8601", None),
        ("nan", "seconds", None), ("1e99", "epoch_seconds", None),
    ],
)  # fmt: skip
def test_reset_headers(text: str, form: str, expected: float | None) -> None:
    assert reset_moment(text, form, 1000.0) == expected


def test_retry_after_in_both_forms_and_in_none() -> None:
    assert retry_after({"retry-after": "7"}, 1000.0) == 1007.0
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 01:00:00 GMT"}, 1000.0) == 3600.0
    assert retry_after({"retry-after": "later"}, 1000.0) is None
    assert retry_after({"retry-after": "-5"}, 1000.0) == 1000.0
    assert retry_after({}, 1000.0) is None


async def ask(vendor: Any, name: str = "item") -> Any:
    page = await vendor.ask(name, vendor.spec.entities[name], await vendor.variables(), PageRequest())
    return page and page.data


def once(first: httpx.Response, then: Any = ()) -> Any:
    answers = iter([first])
    return lambda _: next(answers, httpx.Response(200, json=list(then)))


@pytest.mark.parametrize(
    ("response", "rules", "waited"),
    [
        (httpx.Response(429, headers={"Retry-After": "7"}), [], 7),
        (httpx.Response(503, headers={"Retry-After": "3"}), [], 3),
        (httpx.Response(403, headers={"Retry-After": "5"}), [], 5),
        (
            httpx.Response(403, headers={"X-Left": "0", "X-Reset": "1700000042"}),
            [{"when": {"status": 403, "header": {"X-Left": "0"}}, "action": "rate_limited"}],
            42,
        ),
        (
            httpx.Response(200, json={"ok": False, "error": "ratelimited"}, headers={"Retry-After": "9"}),
            [{"when": {"body": "error == 'ratelimited'"}, "action": "rate_limited"}],
            9,
        ),
        (httpx.Response(429), [], 2),
    ],
)
def test_a_throttled_request_waits_as_told_and_goes_on(
    fake: Any, run: Any, response: Any, rules: Any, waited: int
) -> None:
    limits = [{"limit": 100, "per": "minute", "header_remaining": "X-Left", "header_reset": "X-Reset"}]
    vendor = fake.vendor(once(response), errors=rules, rate_limits=limits)
    run(ask(vendor))
    assert sum(fake.clock.slept) == pytest.approx(waited, abs=0.1)


def test_headers_that_tell_of_an_end_are_heeded_before_it_is_crossed(fake: Any, run: Any) -> None:
    limits = [
        {
            "limit": 100,
            "per": "minute",
            "header_remaining": "X-Left",
            "header_reset": "X-Reset",
            "reset_format": "seconds",
        }
    ]
    vendor = fake.vendor(
        once(httpx.Response(200, json=[], headers={"X-Left": "0", "X-Reset": "11"})), rate_limits=limits
    )

    async def work() -> None:
        await ask(vendor)
        assert fake.clock.slept == []
        await ask(vendor)

    run(work())
    assert sum(fake.clock.slept) == pytest.approx(11)


def test_a_longer_pause_than_there_is_time_for_ends_the_sync(fake: Any, run: Any) -> None:
    vendor = fake.vendor(lambda _: httpx.Response(429, headers={"Retry-After": "80000"}))
    with pytest.raises(LeftAlone, match="asks to wait"):
        run(ask(vendor))
    assert len(fake.seen) == 1


def test_failures_are_tried_again_with_growing_pauses(fake: Any, run: Any) -> None:
    answers = iter(
        [httpx.Response(500), httpx.Response(502), httpx.Response(200, text="<html>"), httpx.Response(200, json=[1])]
    )
    assert run(ask(fake.vendor(lambda _: next(answers)))) == [1]
    assert len(fake.clock.slept) == 3
    assert all(0 <= pause <= 4 for pause in fake.clock.slept)


def test_a_circuit_leaves_a_dead_vendor_alone_and_tries_again_later(fake: Any, run: Any) -> None:
    dead = True
    vendor = fake.vendor(
        lambda _: httpx.Response(500 if dead else 200, json=[]),
        limits={"retry_attempts": 1, "circuit_failures": 2, "circuit_rest_seconds": 30},
    )

    async def work() -> None:
        nonlocal dead
        for _ in range(2):
            with pytest.raises(VendorUnavailable):
                await ask(vendor)
        with pytest.raises(LeftAlone, match="2 failures in a row"):
            await ask(vendor)
        assert len(fake.seen) == 2
        fake.clock.at += 31
        dead = False
        assert await ask(vendor) == []

    run(work())


def test_the_first_rule_that_fits_holds(fake: Any, run: Any) -> None:
    rules = [
        {"when": {"status": "4xx", "text": "not.shared"}, "action": "ignore"},
        {"when": {"status": [404, 410]}, "action": "stop", "message": "ask the owner"},
    ]
    vendor = fake.vendor(once(httpx.Response(404, text="is not shared")), errors=rules)
    assert run(ask(vendor)) is None
    vendor = fake.vendor(
        once(httpx.Response(404, json={"message": "token aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x1b[2J"})), errors=rules
    )
    with pytest.raises(ActionRequired, match=r"answered 404: token … \[2J$") as caught:
        run(ask(vendor))
    assert caught.value.fix == "ask the owner"


def test_vendors_words_are_told_without_what_may_be_a_key(fake: Any, run: Any) -> None:
    message = "bad key sk_live_aaaaaaaaaaaaaaaaaaaaaaaa\x1b[2J in header"
    vendor = fake.vendor(lambda _: httpx.Response(403, json={"error": {"message": message}}))
    with pytest.raises(ActionRequired) as caught:
        run(ask(vendor))
    assert str(caught.value) == "the vendor answered 403: bad key … [2J in header"
