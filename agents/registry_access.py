"""A low-rate agent's connections to the registry: opened when first needed, given back when it ends."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from registry.pool import Pool

OpenPool = Callable[[], AbstractContextManager[Pool]]


class RegistryAccess:
    """`pool` raises RegistryUnavailable and RegistryMisconfigured as long as Postgres can't be reached."""

    def __init__(self, open_pool: OpenPool) -> None:
        self._open_pool = open_pool
        self._opened = ExitStack()
        self._pool: Pool | None = None

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            self._pool = self._opened.enter_context(self._open_pool())
        return self._pool

    def close(self) -> None:
        """Give the connections back; the next use opens new ones."""
        self._pool = None
        self._opened.close()
        self._opened = ExitStack()
