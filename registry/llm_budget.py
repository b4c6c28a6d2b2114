"""What each tenant may ask a language model in a month: reserved before a call, settled after it.

A reservation counts as spent until it is settled, and for good if it never is: two workers together never spend more
than the limit. Limits are the tenant's own (`set_limit`), else those given here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from registry.novel_fields import STATEMENTS
from registry.pool import Pool, transaction

EXPIRY_SECONDS: Final = 600.0


@dataclass(frozen=True)
class Reservation:
    """Tokens set aside for one call."""

    id: int
    tenant: str
    tokens: int


@dataclass(frozen=True)
class Usage:
    """What a tenant has spent in a month."""

    tenant: str
    calls: int
    tokens: int
    usd: float


class LlmBudget:
    """All methods raise RegistryUnavailable (retry) and RegistryMisconfigured."""

    def __init__(
        self,
        pool: Pool,
        *,
        calls_per_month: int,
        tokens_per_month: int,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._limits = (calls_per_month, tokens_per_month)
        self._today = today

    def reserve(self, tenant: str, *, tokens: int) -> Reservation | None:
        """Sets one call of at most `tokens` aside; None if that is more than is left of the month's budget."""
        month = {"tenant": tenant, "month": self._month()}
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["open_usage"], month)
            connection.execute(STATEMENTS["lock_usage"], month)
            connection.execute(STATEMENTS["expire_reservations"], month)
            spent = connection.execute(STATEMENTS["lock_usage"], month).fetchone()
            reserved = connection.execute(STATEMENTS["reserved"], month).fetchone()
            assert spent is not None
            assert reserved is not None
            calls, all_tokens = (own if own is not None else self._limits[i] for i, own in enumerate(spent[2:]))
            if spent[0] + reserved[0] + 1 > calls or spent[1] + reserved[1] + tokens > all_tokens:
                return None
            row = connection.execute(
                STATEMENTS["reserve"], month | {"tokens": tokens, "seconds": EXPIRY_SECONDS}
            ).fetchone()
            assert row is not None
            return Reservation(row[0], tenant, tokens)

    def settle(self, reservation: Reservation, *, tokens: int, usd: float) -> None:
        """The call is over and took `tokens`. Settling twice, or after the reservation expired, changes nothing."""
        with transaction(self._pool) as connection:
            row = connection.execute(STATEMENTS["release_reservation"], {"id": reservation.id}).fetchone()
            if row is not None:
                spent = {"tenant": row[0], "month": row[1], "calls": 1, "tokens": tokens, "usd": usd}
                connection.execute(STATEMENTS["add_usage"], spent)

    def set_limit(self, tenant: str, *, calls_per_month: int, tokens_per_month: int) -> None:
        """Gives one tenant limits of its own."""
        arguments = {"tenant": tenant, "calls": calls_per_month, "tokens": tokens_per_month}
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["set_limit"], arguments)

    def usage(self) -> list[Usage]:
        """This month's spending, by tenant."""
        with transaction(self._pool) as connection:
            return [Usage(*row) for row in connection.execute(STATEMENTS["list_usage"], {"month": self._month()})]

    def _month(self) -> date:
        return self._today().date().replace(day=1)
