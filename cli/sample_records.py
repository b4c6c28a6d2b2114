"""Raw records for the demo, shaped like the vendors' own: real field names, nested objects, nulls, and now and then a
field that nobody mapped yet. Made up by Faker; the same seed gives the same records.
"""

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any, Final

from faker import Faker

Record = dict[str, Any]

_YEAR_2024: Final = 1_704_067_200
_YEAR_SECONDS: Final = 31_536_000


def records(seed: int) -> Iterator[tuple[str, str, Record]]:
    """(connector, entity, record) without end, the vendors in turn."""
    fake = Faker()
    fake.seed_instance(seed)
    chance = Random(seed)  # noqa: S311  # samples, not secrets
    for connector, entity, make in cycle(_MAKERS):
        record = make(fake, chance)
        if chance.random() < 0.02:
            record[f"beta_{fake.word()}"] = fake.word()
        yield connector, entity, record


def _id(chance: Random, prefix: str) -> str:
    return prefix + "".join(chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz0123456789", k=14))


def _epoch(chance: Random) -> int:
    return _YEAR_2024 + chance.randrange(_YEAR_SECONDS)


def _stripe_address(fake: Faker) -> Record:
    return {
        "city": fake.city(),
        "country": fake.country_code(),
        "line1": fake.street_address(),
        "line2": None,
        "postal_code": fake.postcode(),
        "state": None,
    }


def stripe_customer(fake: Faker, chance: Random) -> Record:
    """https://docs.stripe.com/api/customers/object"""
    return {
        "id": _id(chance, "cus_"),
        "object": "customer",
        "address": _stripe_address(fake),
        "balance": chance.choice([0, 0, 0, -1250, 990]),
        "created": _epoch(chance),
        "currency": chance.choice(["usd", "eur", "jpy"]),
        "default_source": None,
        "delinquent": chance.random() < 0.05,
        "description": chance.choice([None, fake.catch_phrase()]),
        "discount": None,
        "email": fake.email(),
        "invoice_prefix": fake.bothify("????####").upper(),
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": True,
        "metadata": {"plan_tier": chance.choice(["free", "pro", "enterprise"])},
        "name": fake.name(),
        "next_invoice_sequence": chance.randrange(1, 90),
        "phone": chance.choice([None, fake.phone_number()]),
        "preferred_locales": ["en"],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _stripe_line(fake: Faker, chance: Random, currency: str) -> Record:
    return {
        "id": _id(chance, "il_"),
        "object": "line_item",
        "amount": chance.randrange(500, 50_000),
        "currency": currency,
        "description": fake.bs(),
        "discountable": True,
        "livemode": True,
        "quantity": chance.randrange(1, 9),
    }


def stripe_invoice(fake: Faker, chance: Random) -> Record:
    """https://docs.stripe.com/api/invoices/object"""
    currency = chance.choice(["usd", "eur"])
    lines = [_stripe_line(fake, chance, currency) for _ in range(chance.randrange(1, 4))]
    total = sum(line["amount"] for line in lines)
    paid = chance.random() < 0.7
    created = _epoch(chance)
    return {
        "id": _id(chance, "in_"),
        "object": "invoice",
        "account_country": "US",
        "account_name": fake.company(),
        "amount_due": total,
        "amount_paid": total if paid else 0,
        "amount_remaining": 0 if paid else total,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": False,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": created,
        "currency": currency,
        "customer": _id(chance, "cus_"),
        "customer_email": fake.email(),
        "customer_name": fake.name(),
        "description": None,
        "due_date": None if paid else created + 2_592_000,
        "hosted_invoice_url": f"https://invoice.example.com/{_id(chance, 'i/')}",
        "lines": {"object": "list", "data": lines, "has_more": False, "url": "/v1/invoices/lines"},
        "livemode": True,
        "metadata": {},
        "number": fake.bothify("????####-####").upper(),
        "paid": paid,
        "period_end": created,
        "period_start": created - 2_592_000,
        "status": "paid" if paid else "open",
        "subtotal": total,
        "tax": None,
        "total": total,
    }


def stripe_subscription(fake: Faker, chance: Random) -> Record:
    """https://docs.stripe.com/api/subscriptions/object"""
    start = _epoch(chance)
    return {
        "id": _id(chance, "sub_"),
        "object": "subscription",
        "application": None,
        "billing_cycle_anchor": start,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "created": start,
        "currency": chance.choice(["usd", "eur"]),
        "current_period_end": start + 2_592_000,
        "current_period_start": start,
        "customer": _id(chance, "cus_"),
        "days_until_due": None,
        "description": chance.choice([None, fake.catch_phrase()]),
        "ended_at": None,
        "latest_invoice": _id(chance, "in_"),
        "livemode": True,
        "metadata": {},
        "quantity": chance.randrange(1, 20),
        "start_date": start,
        "status": chance.choice(["active", "trialing", "past_due", "canceled"]),
        "trial_end": None,
        "trial_start": None,
    }


def stripe_charge(fake: Faker, chance: Random) -> Record:
    """https://docs.stripe.com/api/charges/object"""
    return {
        "id": _id(chance, "ch_"),
        "object": "charge",
        "amount": chance.randrange(100, 90_000),
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": _id(chance, "txn_"),
        "billing_details": {
            "address": _stripe_address(fake),
            "email": fake.email(),
            "name": fake.name(),
            "phone": None,
        },
        "captured": True,
        "created": _epoch(chance),
        "currency": chance.choice(["usd", "eur", "jpy", "kwd"]),
        "customer": _id(chance, "cus_"),
        "description": fake.bs(),
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "invoice": _id(chance, "in_"),
        "livemode": True,
        "metadata": {},
        "paid": True,
        "payment_method": _id(chance, "pm_"),
        "payment_method_details": {"type": "card", "card": {"brand": "visa", "last4": fake.numerify("####")}},
        "receipt_email": fake.email(),
        "receipt_url": f"https://pay.example.com/receipts/{_id(chance, '')}",
        "refunded": False,
        "status": chance.choice(["succeeded", "succeeded", "pending", "failed"]),
    }


def _github_user(fake: Faker, chance: Random) -> Record:
    login = fake.user_name()
    return {
        "login": login,
        "id": chance.randrange(1_000, 90_000_000),
        "node_id": _id(chance, "MDQ6"),
        "avatar_url": f"https://avatars.example.com/u/{login}",
        "html_url": f"https://github.example.com/{login}",
        "type": "User",
        "site_admin": False,
    }


def _github_time(chance: Random) -> str:
    hour, minute = chance.randrange(24), chance.randrange(60)
    return f"2025-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{hour:02}:{minute:02}:00Z"


def github_repository(fake: Faker, chance: Random) -> Record:
    """https://docs.github.com/rest/repos/repos"""
    owner, name = _github_user(fake, chance), fake.domain_word()
    return {
        "id": chance.randrange(1_000, 900_000_000),
        "node_id": _id(chance, "R_"),
        "name": name,
        "full_name": f"{owner['login']}/{name}",
        "private": chance.random() < 0.4,
        "owner": owner,
        "html_url": f"https://github.example.com/{owner['login']}/{name}",
        "description": chance.choice([None, fake.catch_phrase()]),
        "fork": False,
        "created_at": _github_time(chance),
        "updated_at": _github_time(chance),
        "pushed_at": _github_time(chance),
        "homepage": None,
        "size": chance.randrange(10, 90_000),
        "stargazers_count": chance.randrange(900),
        "watchers_count": chance.randrange(900),
        "language": chance.choice(["Python", "Go", "Rust", None]),
        "forks_count": chance.randrange(90),
        "archived": False,
        "disabled": False,
        "open_issues_count": chance.randrange(40),
        "license": None,
        "topics": [fake.word(), fake.word()],
        "visibility": "public",
        "default_branch": "main",
    }


def github_issue(fake: Faker, chance: Random) -> Record:
    """https://docs.github.com/rest/issues/issues"""
    number, is_open = chance.randrange(1, 9_000), chance.random() < 0.5
    return {
        "id": chance.randrange(1_000, 900_000_000),
        "node_id": _id(chance, "I_"),
        "number": number,
        "title": fake.sentence(),
        "user": _github_user(fake, chance),
        "labels": [{"id": chance.randrange(9_000), "name": chance.choice(["bug", "question"]), "color": "d73a4a"}],
        "state": "open" if is_open else "closed",
        "state_reason": None if is_open else "completed",
        "locked": False,
        "assignee": None,
        "assignees": [_github_user(fake, chance)],
        "milestone": chance.choice([None, {"number": 1, "title": "v1.0", "state": "open"}]),
        "comments": chance.randrange(20),
        "created_at": _github_time(chance),
        "updated_at": _github_time(chance),
        "closed_at": None if is_open else _github_time(chance),
        "author_association": "CONTRIBUTOR",
        "active_lock_reason": None,
        "body": fake.paragraph(),
        "html_url": f"https://github.example.com/acme/app/issues/{number}",
        "repository_url": "https://api.github.example.com/repos/acme/app",
        "reactions": {"total_count": 2, "+1": 2},
    }


def github_pull_request(fake: Faker, chance: Random) -> Record:
    """https://docs.github.com/rest/pulls/pulls"""
    number, merged = chance.randrange(1, 9_000), chance.random() < 0.6
    return {
        "id": chance.randrange(1_000, 900_000_000),
        "node_id": _id(chance, "PR_"),
        "number": number,
        "state": "closed" if merged else "open",
        "locked": False,
        "title": fake.sentence(),
        "user": _github_user(fake, chance),
        "body": chance.choice([None, fake.paragraph()]),
        "labels": [],
        "milestone": None,
        "created_at": _github_time(chance),
        "updated_at": _github_time(chance),
        "closed_at": _github_time(chance) if merged else None,
        "merged_at": _github_time(chance) if merged else None,
        "merge_commit_sha": fake.sha1(),
        "assignees": [],
        "requested_reviewers": [_github_user(fake, chance)],
        "draft": False,
        "html_url": f"https://github.example.com/acme/app/pull/{number}",
        "head": {"ref": f"feature/{fake.word()}", "sha": fake.sha1(), "label": "acme:feature"},
        "base": {"ref": "main", "sha": fake.sha1(), "repo": {"id": 42, "full_name": "acme/app"}},
        "auto_merge": None,
    }


def _slack_ts(chance: Random) -> str:
    return f"{_epoch(chance)}.{chance.randrange(1_000_000):06}"


def slack_message(fake: Faker, chance: Random) -> Record:
    """https://docs.slack.dev/reference/events/message"""
    return {
        "type": "message",
        "user": _id(chance, "U").upper(),
        "text": fake.sentence(),
        "ts": _slack_ts(chance),
        "client_msg_id": fake.uuid4(),
        "team": _id(chance, "T").upper(),
        "channel": _id(chance, "C").upper(),
        "thread_ts": chance.choice([None, _slack_ts(chance)]),
        "reply_count": chance.randrange(5),
        "blocks": [{"type": "rich_text", "block_id": fake.lexify("?????")}],
        "reactions": [{"name": "thumbsup", "users": [_id(chance, "U").upper()], "count": 1}],
    }


def slack_user(fake: Faker, chance: Random) -> Record:
    """https://docs.slack.dev/reference/objects/user-object"""
    name = fake.name()
    return {
        "id": _id(chance, "U").upper(),
        "team_id": _id(chance, "T").upper(),
        "name": fake.user_name(),
        "deleted": chance.random() < 0.05,
        "color": "9f69e7",
        "real_name": name,
        "tz": "Europe/Berlin",
        "tz_label": "Central European Time",
        "tz_offset": 3_600,
        "profile": {
            "title": fake.job(),
            "phone": "",
            "real_name": name,
            "display_name": fake.first_name(),
            "status_text": "",
            "email": fake.email(),
            "image_192": f"https://avatars.example.com/{fake.lexify('????????')}.png",
            "first_name": name.split()[0],
            "last_name": name.split()[-1],
        },
        "is_admin": False,
        "is_owner": False,
        "is_restricted": False,
        "is_bot": False,
        "is_app_user": False,
        "updated": _epoch(chance),
        "has_2fa": True,
        "who_can_share_contact_card": "EVERYONE",
    }


_MAKERS: Final = (
    ("stripe", "customer", stripe_customer),
    ("stripe", "invoice", stripe_invoice),
    ("stripe", "subscription", stripe_subscription),
    ("stripe", "charge", stripe_charge),
    ("github", "repository", github_repository),
    ("github", "issue", github_issue),
    ("github", "pull_request", github_pull_request),
    ("slack", "message", slack_message),
    ("slack", "user", slack_user),
)
