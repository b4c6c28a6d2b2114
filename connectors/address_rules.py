"""Which addresses AAM may talk to: public ones, judged by number after resolving, never by what a URL looks like.

`ipaddress.is_global` alone would let through ways around: IPv4 wrapped in IPv6 (NAT64, 6to4, mapped), multicast,
site-local. What is allowed beyond that is a setting.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NEVER: Final = tuple(
    map(
        IPv6Network,
        (
            "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
            "2002::/16",  # 6to4 (RFC 7526: historic)
            "2001::/32",  # Teredo
            "::/96",  # IPv4-compatible (RFC 4291: deprecated)
        ),
    )
)


def is_public(address: str) -> bool:
    """Whether anybody on the internet would reach the same machine under this number."""
    try:
        number = ip_address(address)
    except ValueError:
        return False
    if isinstance(number, IPv6Address):
        if number.scope_id is not None or any(number in network for network in _NEVER):
            return False
        if number in _NAT64:
            number = IPv4Address(int(number) & 0xFFFF_FFFF)
        elif number.ipv4_mapped is not None:
            number = number.ipv4_mapped
        elif number.is_site_local:
            return False
    return number.is_global and not (number.is_multicast or number.is_reserved or number.is_unspecified)


class AllowedHosts:
    """The hosts of AAM_EGRESS_ALLOW: `host:port`, or `host:*`."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(entry.lower() for entry in entries)

    def __contains__(self, place: tuple[str, int]) -> bool:
        host, port = place
        host = f"[{host}]" if ":" in host else host
        return f"{host.lower()}:{port}" in self._entries or f"{host.lower()}:*" in self._entries
