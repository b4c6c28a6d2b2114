"""The secrets of one connection, read from where its references point; what a vendor replaces is stored, encrypted."""

import asyncio
from collections.abc import Mapping

from pydantic import SecretStr

from registry.connections import Connections, StoredConnection
from registry.secrets import Secrets


class StoredCredentials:
    """`connectors.auth.Credentials` of a stored connection. Reads all references at once, when it is made.

    Raises, when it is made, RegistryMisconfigured: a reference leads nowhere, or is not this tenant's.
    """

    def __init__(self, stored: StoredConnection, connections: Connections, secrets: Secrets) -> None:
        self._stored = stored
        self._connections = connections
        self._secrets = secrets
        self._values: Mapping[str, SecretStr] = {
            name: secrets.resolve(stored.tenant, reference) for name, reference in stored.secrets.items()
        }

    def names(self) -> set[str]:
        """Which there are."""
        return set(self._values)

    def get(self, name: str) -> str:
        """In the clear."""
        return self._values[name].get_secret_value()

    async def keep(self, name: str, value: str) -> None:
        """Stores a rotated token, wherever the old one came from; from then on it comes from the store."""
        self._values = {**self._values, name: SecretStr(value)}
        await asyncio.to_thread(self._store, name, SecretStr(value))

    def _store(self, name: str, value: SecretStr) -> None:
        reference = self._secrets.put(self._stored.tenant, secret_name(self._stored.id, name), value)
        self._connections.set_secret_reference(self._stored.tenant, self._stored.id, name, reference)


def secret_name(connection: str, credential: str) -> str:
    """Under which name a connection's credential is stored."""
    return f"{connection}/{credential}"
