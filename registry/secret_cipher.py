"""Encrypts what may not be read in the database: AES-256-GCM, bound to a tenant and a name, with keys that rotate.

The first key encrypts, all decrypt. A key is 32 random bytes in base64; its id is the beginning of its SHA-256.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from registry.errors import RegistryMisconfigured

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


@dataclass(frozen=True, repr=False)
class Sealed:
    """An encrypted value."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class SecretCipher:
    """Seals and opens."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys` in base64, the current one first. Raises RegistryMisconfigured."""
        if not keys:
            raise RegistryMisconfigured(
                "no key for stored secrets: set AAM_SECRET_KEY (`aam connectors key` makes one) or AAM_SECRET_KEY_FILE"
            )
        self._keys = {key_id(key): AESGCM(_raw(key)) for key in keys}
        self.current = key_id(keys[0])

    def seal(self, tenant: str, name: str, value: str) -> Sealed:
        """Encrypts `value` for `tenant`, under a nonce of its own."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        ciphertext = self._keys[self.current].encrypt(nonce, value.encode(), _bound_to(tenant, name))
        return Sealed(self.current, nonce, ciphertext)

    def open(self, tenant: str, name: str, sealed: Sealed) -> str:
        """The value. Raises RegistryMisconfigured: its key is missing, or it is another tenant's."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise RegistryMisconfigured(
                f"secret {name} was stored under key {sealed.key_id}, which AAM_SECRET_KEY doesn't have"
            )
        try:
            return key.decrypt(sealed.nonce, sealed.ciphertext, _bound_to(tenant, name)).decode()
        except InvalidTag:
            raise RegistryMisconfigured(
                f"secret {name} doesn't open: it was changed, or is not this tenant's"
            ) from None


def new_key() -> str:
    """A key for AAM_SECRET_KEY."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def key_id(key: str) -> str:
    """How a stored secret names its key."""
    return hashlib.sha256(_raw(key)).hexdigest()[:12]


def _raw(key: str) -> bytes:
    try:
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise RegistryMisconfigured(f"a key of AAM_SECRET_KEY is not {KEY_BYTES} bytes in base64")
    return raw


def _bound_to(tenant: str, name: str) -> bytes:
    return f"{len(tenant)}:{tenant}{name}".encode()
