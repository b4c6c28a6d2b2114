"""Finds the value behind a reference, for the tenant that may have it: `env:NAME`, `file:NAME`, `store:NAME`.

A reference is all that connections hold. Each kind is bound to a tenant: variables by the list AAM_SECRET_ENV, files by
a folder per tenant, stored values by their encryption (`registry.secret_cipher`). Values are SecretStr, in no message.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from registry.errors import RegistryMisconfigured
from registry.pool import Pool, transaction
from registry.queries import parse
from registry.secret_cipher import Sealed, SecretCipher

STATEMENTS: Final[Mapping[str, bytes]] = parse((Path(__file__).parent / "connections.sql").read_text(encoding="utf-8"))
KINDS: Final = ("env", "file", "store")
_LARGEST_FILE: Final = 65_536


class SecretSettings(BaseSettings):
    """Where secrets come from, from the environment."""

    model_config = SettingsConfigDict(env_prefix="AAM_", frozen=True)

    secret_key: SecretStr | None = None
    """Keys of stored secrets, base64 of 32 bytes each, comma-separated: the first encrypts, all decrypt."""

    secret_key_file: Path | None = None
    """A file with such keys, one a line, in place of `secret_key`."""

    secret_env: Annotated[tuple[str, ...], NoDecode] = ()
    """Variables that `env:` may name, comma-separated `tenant=VARIABLE`; tenant `*` for all."""

    secrets_folder: Path | None = Field(default=None)
    """Folder of the files that `file:` may name: one folder per tenant in it."""

    @field_validator("secret_env", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    def keys(self) -> list[str]:
        """The keys, the current one first. Raises RegistryMisconfigured if the file can't be read."""
        if self.secret_key is not None:
            text = self.secret_key.get_secret_value()
        elif self.secret_key_file is not None:
            try:
                text = self.secret_key_file.read_text(encoding="utf-8")
            except OSError as error:
                raise RegistryMisconfigured(f"AAM_SECRET_KEY_FILE can't be read: {error.strerror}") from error
        else:
            return []
        return [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]


class Secrets:
    """Reads and keeps secrets. `environ` is the process's environment, passed in for tests."""

    def __init__(self, pool: Pool, settings: SecretSettings, environ: Mapping[str, str] | None = None) -> None:
        self._pool = pool
        self._settings = settings
        self._environ = os.environ if environ is None else environ

    def resolve(self, tenant: str, reference: str) -> SecretStr:
        """The value. Raises RegistryMisconfigured, which names the reference and what to set."""
        kind, _, name = reference.partition(":")
        if kind == "env":
            return self._from_environment(tenant, name)
        if kind == "file":
            return self._from_file(tenant, name)
        if kind == "store":
            return self._from_store(tenant, name)
        raise RegistryMisconfigured("a secret is given as env:NAME, file:NAME or store:NAME")

    def put(self, tenant: str, name: str, value: SecretStr) -> str:
        """Encrypts and stores `value`, in place of an older one. Gives the reference."""
        sealed = self._cipher().seal(tenant, name, value.get_secret_value())
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["put_secret"], _row(tenant, name, sealed))
        return f"store:{name}"

    def remove(self, tenant: str, prefix: str) -> None:
        """Forgets all stored values whose name begins so."""
        with transaction(self._pool) as connection:
            connection.execute(STATEMENTS["remove_secrets"], {"tenant": tenant, "prefix": prefix})

    def rotate(self) -> int:
        """Encrypts again, under the current key, what is stored under older ones. How many there were."""
        cipher, count = self._cipher(), 0
        while True:
            with transaction(self._pool) as connection:
                found = connection.execute(STATEMENTS["secrets_of_other_keys"], {"key_id": cipher.current}).fetchall()
                for tenant, name, *sealed in found:
                    value = cipher.open(tenant, name, Sealed(sealed[0], bytes(sealed[1]), bytes(sealed[2])))
                    connection.execute(STATEMENTS["put_secret"], _row(tenant, name, cipher.seal(tenant, name, value)))
            count += len(found)
            if not found:
                return count

    def _cipher(self) -> SecretCipher:
        return SecretCipher(self._settings.keys())

    def _from_environment(self, tenant: str, name: str) -> SecretStr:
        if not {f"{tenant}={name}", f"*={name}"} & set(self._settings.secret_env):
            raise RegistryMisconfigured(f"env:{name} is not for tenant {tenant}: add {tenant}={name} to AAM_SECRET_ENV")
        value = self._environ.get(name)
        if not value:
            raise RegistryMisconfigured(f"env:{name}: the variable is not set")
        return SecretStr(value)

    def _from_file(self, tenant: str, name: str) -> SecretStr:
        folder = self._settings.secrets_folder
        if folder is None:
            raise RegistryMisconfigured(f"file:{name}: set AAM_SECRETS_FOLDER, with a folder per tenant in it")
        own = (folder / tenant).resolve()
        path = (own / name).resolve()
        if own.parent != folder.resolve() or own not in path.parents:
            raise RegistryMisconfigured(f"file:{name} is not in the folder of tenant {tenant}")
        try:
            with path.open(encoding="utf-8") as file:
                return SecretStr(file.read(_LARGEST_FILE).strip())
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryMisconfigured(f"file:{name} can't be read: {type(error).__name__}") from None

    def _from_store(self, tenant: str, name: str) -> SecretStr:
        with transaction(self._pool) as connection:
            row = connection.execute(STATEMENTS["find_secret"], {"tenant": tenant, "name": name}).fetchone()
        if row is None:
            raise RegistryMisconfigured(f"store:{name} is not there")
        return SecretStr(self._cipher().open(tenant, name, Sealed(row[0], bytes(row[1]), bytes(row[2]))))


def _row(tenant: str, name: str, sealed: Sealed) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "name": name,
        "key_id": sealed.key_id,
        "nonce": sealed.nonce,
        "ciphertext": sealed.ciphertext,
    }
