"""Stored secrets: bound to tenant and name, opened by old keys, never shown."""

import pytest

from registry.errors import RegistryMisconfigured
from registry.secret_cipher import SecretCipher, key_id, new_key

OLD, NEW = new_key(), new_key()


def test_a_sealed_value_opens_for_its_tenant_and_name_only() -> None:
    cipher = SecretCipher([NEW])
    sealed = cipher.seal("acme", "zd/token", "s3cret")
    assert cipher.open("acme", "zd/token", sealed) == "s3cret"
    for tenant, name in (("other", "zd/token"), ("acme", "zd/other"), ("acmezd", "/token")):
        with pytest.raises(RegistryMisconfigured, match="doesn't open"):
            cipher.open(tenant, name, sealed)


def test_the_same_value_is_never_sealed_alike() -> None:
    cipher = SecretCipher([NEW])
    assert cipher.seal("a", "n", "v").ciphertext != cipher.seal("a", "n", "v").ciphertext


def test_the_first_key_seals_and_all_open() -> None:
    sealed = SecretCipher([OLD]).seal("a", "n", "v")
    both = SecretCipher([NEW, OLD])
    assert both.open("a", "n", sealed) == "v"
    assert both.seal("a", "n", "v").key_id == key_id(NEW)
    with pytest.raises(RegistryMisconfigured, match=f"under key {key_id(OLD)}"):
        SecretCipher([NEW]).open("a", "n", sealed)


@pytest.mark.parametrize("keys", [[], ["short"], ["!" * 44], [new_key()[:-4]]])
def test_what_is_no_key_is_refused_without_being_shown(keys: list[str]) -> None:
    with pytest.raises(RegistryMisconfigured) as caught:
        SecretCipher(keys)
    assert not any(key in str(caught.value) for key in keys)


def test_nothing_sealed_shows_itself() -> None:
    assert "ciphertext" not in repr(SecretCipher([NEW]).seal("a", "n", "v"))
