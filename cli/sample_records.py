"""Makes raw records shaped like those of Stripe, GitHub and Slack, for `aam demo` and tests: the vendors' field names
and nesting, nulls where they send nulls, now and then a field that nobody has seen before. All people are invented.

Shapes: docs.stripe.com/api (2024-06-20), docs.github.com/en/rest (2022-11-28), api.slack.com/types.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from faker import Faker

Record = dict[str, Any]
T = TypeVar("T")

_SINCE: Final = 1_704_067_200  # 2024-01-01; fixed, so that a seed gives the same records on any day
_UNTIL: Final = 1_767_225_600  # 2026-01-01
_DAY: Final = 86_400
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_CURRENCIES: Final = ("usd", "usd", "eur", "eur", "gbp", "chf", "jpy")
_LOGINS_OF_BOTS: Final = ("dependabot[bot]", "renovate[bot]", "github-actions[bot]")
_LABELS: Final = ("bug", "enhancement", "question", "documentation", "good first issue", "security")
_LANGUAGES: Final = ("Python", "Go", "TypeScript", "Rust", "Java", None)

# What vendors add without saying so; nothing maps them.
_UNKNOWN: Final[tuple[tuple[str, Callable[[Faker], Any]], ...]] = (
    ("risk_level", lambda fake: fake.random.choice(("normal", "elevated"))),
    ("x_region", lambda fake: fake.random.choice(("eu-central", "us-east"))),
    ("beta_flags", lambda fake: [fake.word(), fake.word()]),
    ("custom", lambda fake: {"cost_center": f"CC-{fake.random.randint(100, 999)}", "vip": fake.random.random() < 0.5}),
)
_UNKNOWN_SHARE: Final = 0.03


def records(seed: int) -> Iterator[tuple[str, str, Record]]:
    """(connector, entity, record), without end; the same `seed` gives the same ones."""
    fake = Faker("en_US", use_weighting=False)  # weighting by frequency of names costs half of the time
    fake.seed_instance(seed)
    kinds, weights = zip(*((kind, weight) for *kind, weight in _KINDS), strict=True)
    while True:
        ((connector, entity, make),) = fake.random.choices(kinds, weights)
        record = make(fake)
        if fake.random.random() < _UNKNOWN_SHARE:
            name, value = fake.random.choice(_UNKNOWN)
            record[name] = value(fake)
        yield connector, entity, record


def stripe_customer(fake: Faker) -> Record:
    """GET /v1/customers."""
    return {
        "id": _stripe_id(fake, "cus"),
        "object": "customer",
        "address": _or_null(fake, _stripe_address(fake), 0.8),
        "balance": fake.random.choice((0, 0, 0, -2500, 1250)),
        "created": _epoch(fake),
        "currency": _or_null(fake, fake.random.choice(_CURRENCIES), 0.9),
        "default_source": None,
        "delinquent": fake.random.random() < 0.05,
        "description": _or_null(fake, fake.catch_phrase(), 0.5),
        "discount": None,
        "email": _or_null(fake, fake.safe_email(), 0.95),
        "invoice_prefix": fake.bothify("????####").upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {"crm_id": str(fake.random.randint(10_000, 99_999))} if fake.random.random() < 0.3 else {},
        "name": fake.name() if fake.random.random() < 0.6 else fake.company(),
        "next_invoice_sequence": fake.random.randint(1, 40),
        "phone": _or_null(fake, fake.phone_number(), 0.6),
        "preferred_locales": fake.random.choice(([], ["en-US"], ["de-DE", "en-US"])),
        "shipping": None,
        "tax_exempt": fake.random.choice(("none", "none", "exempt", "reverse")),
        "test_clock": None,
    }


def stripe_invoice(fake: Faker) -> Record:
    """GET /v1/invoices. The sums are those of the lines."""
    currency, created = fake.random.choice(_CURRENCIES), _epoch(fake)
    lines = [_stripe_line(fake, currency, created) for _ in range(fake.random.randint(1, 4))]
    subtotal = sum(line["amount"] for line in lines)
    tax = round(subtotal * fake.random.choice((0, 0.081, 0.19)))
    total = subtotal + tax
    status = fake.random.choice(("paid", "paid", "paid", "open", "draft", "void", "uncollectible"))
    paid = total if status == "paid" else 0
    return {
        "id": _stripe_id(fake, "in"),
        "object": "invoice",
        "account_country": "US",
        "account_name": "Example Payments",
        "amount_due": total,
        "amount_paid": paid,
        "amount_remaining": total - paid,
        "attempt_count": 1 if status == "paid" else 0,
        "attempted": status == "paid",
        "auto_advance": status == "open",
        "billing_reason": fake.random.choice(("subscription_cycle", "subscription_create", "manual")),
        "charge": _stripe_id(fake, "ch") if status == "paid" else None,
        "collection_method": fake.random.choice(("charge_automatically", "send_invoice")),
        "created": created,
        "currency": currency,
        "custom_fields": None,
        "customer": _stripe_id(fake, "cus"),
        "customer_address": _or_null(fake, _stripe_address(fake), 0.6),
        "customer_email": fake.safe_email(),
        "customer_name": fake.name(),
        "customer_phone": None,
        "description": _or_null(fake, fake.sentence(), 0.2),
        "discounts": [],
        "due_date": _or_null(fake, created + 30 * _DAY, 0.5),
        "effective_at": created,
        "ending_balance": 0,
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{_token(fake, 24)}",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{_token(fake, 24)}/pdf",
        "lines": {"object": "list", "data": lines, "has_more": False, "url": "/v1/invoices/lines"},
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None if status == "draft" else fake.bothify("????####-####").upper(),
        "paid": status == "paid",
        "payment_intent": _or_null(fake, _stripe_id(fake, "pi"), 0.8),
        "period_end": created,
        "period_start": created - 30 * _DAY,
        "receipt_number": None,
        "starting_balance": 0,
        "status": status,
        "status_transitions": {
            "finalized_at": None if status == "draft" else created + 3_600,
            "marked_uncollectible_at": None,
            "paid_at": created + 3_700 if status == "paid" else None,
            "voided_at": created + _DAY if status == "void" else None,
        },
        "subscription": _or_null(fake, _stripe_id(fake, "sub"), 0.7),
        "subtotal": subtotal,
        "tax": tax,
        "total": total,
        "webhooks_delivered_at": created,
    }


def stripe_subscription(fake: Faker) -> Record:
    """GET /v1/subscriptions, with the legacy `plan` and `quantity` of one with a single item."""
    start, quantity = _epoch(fake), fake.random.randint(1, 25)
    status = fake.random.choice(("active", "active", "active", "trialing", "past_due", "canceled", "unpaid"))
    price = _stripe_price(fake, fake.random.choice(_CURRENCIES), start)
    plan = {
        "id": price["id"],
        "object": "plan",
        "active": True,
        "amount": price["unit_amount"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "product": price["product"],
    }
    identity = _stripe_id(fake, "sub")
    item = {
        "id": _stripe_id(fake, "si"),
        "object": "subscription_item",
        "created": start,
        "metadata": {},
        "price": price,
        "quantity": quantity,
        "subscription": identity,
        "tax_rates": [],
    }
    return {
        "id": identity,
        "object": "subscription",
        "application": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_cycle_anchor": start,
        "cancel_at": None,
        "cancel_at_period_end": fake.random.random() < 0.1,
        "canceled_at": start + 90 * _DAY if status == "canceled" else None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": start,
        "currency": price["currency"],
        "current_period_end": start + 30 * _DAY,
        "current_period_start": start,
        "customer": _stripe_id(fake, "cus"),
        "days_until_due": None,
        "default_payment_method": _or_null(fake, _stripe_id(fake, "pm"), 0.7),
        "description": None,
        "ended_at": start + 90 * _DAY if status == "canceled" else None,
        "items": {"object": "list", "data": [item], "has_more": False, "url": "/v1/subscription_items"},
        "latest_invoice": _stripe_id(fake, "in"),
        "livemode": False,
        "metadata": {},
        "plan": plan,
        "quantity": quantity,
        "start_date": start,
        "status": status,
        "trial_end": start + 14 * _DAY if status == "trialing" else None,
        "trial_start": start if status == "trialing" else None,
    }


def stripe_charge(fake: Faker) -> Record:
    """GET /v1/charges."""
    amount = fake.random.randint(100, 500_000)
    status = fake.random.choice(("succeeded",) * 8 + ("failed", "pending"))
    refunded = status == "succeeded" and fake.random.random() < 0.08
    failed = status == "failed"
    return {
        "id": _stripe_id(fake, "ch"),
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if status == "succeeded" else 0,
        "amount_refunded": amount if refunded else 0,
        "application": None,
        "balance_transaction": _or_null(fake, _stripe_id(fake, "txn"), 0.9),
        "billing_details": {
            "address": _stripe_address(fake),
            "email": _or_null(fake, fake.safe_email(), 0.5),
            "name": fake.name(),
            "phone": None,
        },
        "captured": status == "succeeded",
        "created": _epoch(fake),
        "currency": fake.random.choice(_CURRENCIES),
        "customer": _or_null(fake, _stripe_id(fake, "cus"), 0.9),
        "description": _or_null(fake, fake.sentence(nb_words=4), 0.7),
        "disputed": False,
        "failure_code": "card_declined" if failed else None,
        "failure_message": "Your card was declined." if failed else None,
        "fraud_details": {},
        "invoice": _or_null(fake, _stripe_id(fake, "in"), 0.6),
        "livemode": False,
        "metadata": {},
        "outcome": {
            "network_status": "declined_by_network" if failed else "approved_by_network",
            "reason": "generic_decline" if failed else None,
            "risk_level": "normal",
            "seller_message": "The bank declined the payment." if failed else "Payment complete.",
            "type": "issuer_declined" if failed else "authorized",
        },
        "paid": status == "succeeded",
        "payment_intent": _stripe_id(fake, "pi"),
        "payment_method": _stripe_id(fake, "pm"),
        "payment_method_details": _stripe_method(fake),
        "receipt_email": None,
        "receipt_number": _or_null(fake, fake.numerify("####-####"), 0.5),
        "receipt_url": f"https://pay.stripe.com/receipts/{_token(fake, 24)}",
        "refunded": refunded,
        "status": status,
    }


def github_repository(fake: Faker) -> Record:
    """GET /orgs/{org}/repos."""
    owner, name = _login(fake), fake.slug(fake.bs())[:40]
    api, html = f"https://api.github.com/repos/{owner}/{name}", f"https://github.com/{owner}/{name}"
    created = _epoch(fake)
    stars, forks, issues = (fake.random.randint(0, most) for most in (5_000, 800, 200))
    return {
        "id": fake.random.randint(10**7, 10**9),
        "node_id": f"R_kgDO{_token(fake, 8)}",
        "name": name,
        "full_name": f"{owner}/{name}",
        "private": fake.random.random() < 0.3,
        "owner": _github_user(fake, owner, kind="Organization"),
        "html_url": html,
        "description": _or_null(fake, fake.catch_phrase(), 0.85),
        "fork": fake.random.random() < 0.15,
        "url": api,
        "issues_url": f"{api}/issues{{/number}}",
        "pulls_url": f"{api}/pulls{{/number}}",
        "clone_url": f"{html}.git",
        "ssh_url": f"git@github.com:{owner}/{name}.git",
        "homepage": fake.random.choice((None, "", fake.url())),
        "size": fake.random.randint(10, 900_000),
        "stargazers_count": stars,
        "watchers_count": stars,
        "language": fake.random.choice(_LANGUAGES),
        "has_issues": True,
        "has_wiki": False,
        "forks_count": forks,
        "archived": fake.random.random() < 0.05,
        "disabled": False,
        "open_issues_count": issues,
        "license": fake.random.choice(
            (
                None,
                {"key": "mit", "name": "MIT License", "spdx_id": "MIT", "url": "https://api.github.com/licenses/mit"},
            )
        ),
        "topics": fake.words(fake.random.randint(0, 4)),
        "visibility": "public",
        "forks": forks,
        "open_issues": issues,
        "watchers": stars,
        "default_branch": fake.random.choice(("main", "main", "master")),
        "created_at": _iso(created),
        "updated_at": _iso(created + 40 * _DAY),
        "pushed_at": _iso(created + 41 * _DAY),
    }


def github_issue(fake: Faker) -> Record:
    """GET /issues: those of all repositories, with the repository in each."""
    created, closed = _epoch(fake), fake.random.random() < 0.4
    repository = {key: value for key, value in github_repository(fake).items() if not key.endswith("_url")}
    return {
        **_github_thread(fake, created, "issues", closed=closed),
        "repository_url": repository["url"],
        "comments": fake.random.randint(0, 30),
        "state_reason": fake.random.choice(("completed", "not_planned")) if closed else None,
        "author_association": fake.random.choice(("NONE", "MEMBER", "CONTRIBUTOR")),
        "performed_via_github_app": None,
        "repository": repository,
        "reactions": {"total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0, "confused": 0, "heart": 0},
    }


def github_pull_request(fake: Faker) -> Record:
    """GET /repos/{owner}/{repo}/pulls/{number}."""
    created, closed = _epoch(fake), fake.random.random() < 0.6
    merged = closed and fake.random.random() < 0.8
    repository = github_repository(fake)
    return {
        **_github_thread(fake, created, "pull", closed=closed),
        "merged_at": _iso(created + 2 * _DAY) if merged else None,
        "merge_commit_sha": _sha(fake) if merged else None,
        "requested_reviewers": [_github_user(fake, _login(fake)) for _ in range(fake.random.randint(0, 2))],
        "requested_teams": [],
        "head": {"label": f"fix/{fake.word()}", "ref": f"fix/{fake.word()}", "sha": _sha(fake)},
        "base": {"label": "main", "ref": "main", "sha": _sha(fake), "repo": repository},
        "author_association": "CONTRIBUTOR",
        "auto_merge": None,
        "draft": fake.random.random() < 0.1,
        "merged": merged,
        "mergeable": None,
        "mergeable_state": "unknown",
        "commits": fake.random.randint(1, 12),
        "additions": fake.random.randint(1, 900),
        "deletions": fake.random.randint(0, 400),
        "changed_files": fake.random.randint(1, 30),
    }


def slack_message(fake: Faker) -> Record:
    """A message as the Events API delivers it: with its channel."""
    ts, text = _slack_ts(fake), fake.sentence(nb_words=fake.random.randint(3, 18))
    thread = _slack_ts(fake) if fake.random.random() < 0.3 else None
    message: Record = {
        "type": "message",
        "channel": _slack_id(fake, "C"),
        "user": _slack_id(fake, "U"),
        "text": text,
        "ts": ts,
        "event_ts": ts,
        "team": "T024BE7LD",
        "client_msg_id": str(fake.uuid4()),
        "blocks": [
            {
                "type": "rich_text",
                "block_id": _token(fake, 5),
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}],
            }
        ],
        "permalink": f"https://example.slack.com/archives/p{ts.replace('.', '')}",
    }
    if thread:
        message |= {"thread_ts": thread, "parent_user_id": _slack_id(fake, "U")}
    if fake.random.random() < 0.15:
        message["edited"] = {"user": message["user"], "ts": ts}
    if fake.random.random() < 0.2:
        message["files"] = [_slack_file(fake) for _ in range(fake.random.randint(1, 2))]
    if fake.random.random() < 0.25:
        message["reactions"] = [{"name": "eyes", "users": [_slack_id(fake, "U")], "count": 1}]
    return message


def slack_user(fake: Faker) -> Record:
    """GET users.list."""
    first, last = fake.first_name(), fake.last_name()
    deleted, bot = fake.random.random() < 0.08, fake.random.random() < 0.05
    picture = f"https://avatars.slack-edge.com/{_token(fake, 12)}"
    return {
        "id": _slack_id(fake, "U"),
        "team_id": "T024BE7LD",
        "name": f"{first}.{last}".lower(),
        "deleted": deleted,
        "color": f"{fake.random.randrange(16**6):06x}",
        "real_name": f"{first} {last}",
        "tz": fake.random.choice(("Europe/Zurich", "America/New_York", "Asia/Tokyo")),
        "tz_label": "Local time",
        "tz_offset": fake.random.choice((3_600, -18_000, 32_400)),
        "profile": {
            "title": fake.job() if fake.random.random() < 0.7 else "",
            "phone": fake.phone_number() if fake.random.random() < 0.5 else "",
            "skype": "",
            "real_name": f"{first} {last}",
            "real_name_normalized": f"{first} {last}",
            "display_name": first.lower(),
            "status_text": "",
            "status_emoji": "",
            "avatar_hash": _token(fake, 12),
            "email": f"{first}.{last}@example.com".lower(),
            "first_name": first,
            "last_name": last,
            "image_72": f"{picture}_72.png",
            "image_512": f"{picture}_512.png",
            "team": "T024BE7LD",
        },
        "is_admin": fake.random.random() < 0.1,
        "is_owner": False,
        "is_restricted": False,
        "is_bot": bot,
        "is_app_user": False,
        "updated": _epoch(fake),
        "has_2fa": not bot,
    }


_KINDS: Final[tuple[tuple[str, str, Callable[[Faker], Record], int], ...]] = (
    ("stripe", "customer", stripe_customer, 4),
    ("stripe", "invoice", stripe_invoice, 4),
    ("stripe", "charge", stripe_charge, 5),
    ("stripe", "subscription", stripe_subscription, 2),
    ("github", "issue", github_issue, 3),
    ("github", "repository", github_repository, 1),
    ("github", "pull_request", github_pull_request, 2),
    ("slack", "message", slack_message, 8),
    ("slack", "user", slack_user, 1),
)


def _stripe_address(fake: Faker) -> Record:
    return {
        "city": fake.city(),
        "country": "US",
        "line1": fake.street_address(),
        "line2": _or_null(fake, fake.secondary_address(), 0.2),
        "postal_code": fake.postcode(),
        "state": fake.state_abbr(),
    }


def _stripe_line(fake: Faker, currency: str, created: int) -> Record:
    price, quantity = _stripe_price(fake, currency, created), fake.random.randint(1, 5)
    return {
        "id": _stripe_id(fake, "il"),
        "object": "line_item",
        "amount": price["unit_amount"] * quantity,
        "currency": currency,
        "description": f"{quantity} × {fake.bs()}",
        "discountable": True,
        "livemode": False,
        "metadata": {},
        "period": {"end": created, "start": created - 30 * _DAY},
        "price": price,
        "proration": False,
        "quantity": quantity,
        "type": "subscription",
    }


def _stripe_price(fake: Faker, currency: str, created: int) -> Record:
    amount = fake.random.randint(5, 990) * 100
    return {
        "id": _stripe_id(fake, "price"),
        "object": "price",
        "active": True,
        "created": created - 200 * _DAY,
        "currency": currency,
        "nickname": None,
        "product": _stripe_id(fake, "prod"),
        "recurring": {"interval": fake.random.choice(("month", "month", "year")), "interval_count": 1},
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def _stripe_method(fake: Faker) -> Record:
    if fake.random.random() < 0.15:
        return {"type": "sepa_debit", "sepa_debit": {"country": "DE", "last4": fake.numerify("####")}}
    card = {
        "brand": fake.random.choice(("visa", "mastercard", "amex")),
        "country": "US",
        "exp_month": fake.random.randint(1, 12),
        "exp_year": fake.random.randint(2026, 2031),
        "funding": "credit",
        "last4": fake.numerify("####"),
    }
    return {"type": "card", "card": card}


def _github_thread(fake: Faker, created: int, kind: str, *, closed: bool) -> Record:
    """What issues and pull requests have in common."""
    number, owner, name = fake.random.randint(1, 9_000), _login(fake), fake.word()
    assignees = [_github_user(fake, _login(fake)) for _ in range(fake.random.choice((0, 1, 1, 2)))]
    author = fake.random.choice(_LOGINS_OF_BOTS) if fake.random.random() < 0.1 else _login(fake)
    return {
        "id": fake.random.randint(10**9, 4 * 10**9),
        "node_id": f"I_kwDO{_token(fake, 10)}",
        "url": f"https://api.github.com/repos/{owner}/{name}/{kind}/{number}",
        "html_url": f"https://github.com/{owner}/{name}/{kind}/{number}",
        "number": number,
        "state": "closed" if closed else "open",
        "locked": False,
        "title": fake.sentence(nb_words=6).rstrip("."),
        "user": _github_user(fake, author, kind="Bot" if author.endswith("[bot]") else "User"),
        "body": _or_null(fake, fake.paragraph(), 0.9),
        "labels": [
            {"id": fake.random.randint(1, 10**6), "name": label, "color": "d73a4a", "default": True}
            for label in fake.random.sample(_LABELS, fake.random.randint(0, 3))
        ],
        "milestone": _or_null(fake, {"id": 1, "number": 1, "title": f"v{number % 9}.0", "state": "open"}, 0.2),
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "created_at": _iso(created),
        "updated_at": _iso(created + 3 * _DAY),
        "closed_at": _iso(created + 2 * _DAY) if closed else None,
    }


def _github_user(fake: Faker, login: str, *, kind: str = "User") -> Record:
    identity = fake.random.randint(1_000, 10**8)
    return {
        "login": login,
        "id": identity,
        "node_id": f"U_kgDO{_token(fake, 6)}",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{identity}?v=4",
        "url": f"https://api.github.com/users/{login}",
        "html_url": f"https://github.com/{login}",
        "type": kind,
        "site_admin": False,
    }


def _slack_file(fake: Faker) -> Record:
    name = f"{fake.word()}.pdf"
    return {
        "id": _slack_id(fake, "F"),
        "name": name,
        "title": name,
        "mimetype": "application/pdf",
        "filetype": "pdf",
        "size": fake.random.randint(1_000, 9_000_000),
        "url_private": f"https://files.slack.com/files-pri/{name}",
    }


def _or_null(fake: Faker, value: T, share: float) -> T | None:
    return value if fake.random.random() < share else None


def _epoch(fake: Faker) -> int:
    return int(fake.random.randint(_SINCE, _UNTIL))


def _iso(epoch_seconds: int) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _slack_ts(fake: Faker) -> str:
    return f"{_epoch(fake)}.{fake.random.randint(0, 999_999):06d}"


def _token(fake: Faker, length: int) -> str:
    return "".join(fake.random.choices(_LETTERS, k=length))


def _stripe_id(fake: Faker, prefix: str) -> str:
    return f"{prefix}_{_token(fake, 14)}"


def _slack_id(fake: Faker, prefix: str) -> str:
    return prefix + _token(fake, 8).upper()


def _sha(fake: Faker) -> str:
    return f"{fake.random.getrandbits(160):040x}"


def _login(fake: Faker) -> str:
    return str(fake.user_name())
