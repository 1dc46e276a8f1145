"""Whom a request comes from: its address behind trusted proxies, and networks. Pure functions.

Each proxy appends to `X-Forwarded-For` whom it was called by. Of a fixed number of trusted ones the
outermost wrote the client's address; whatever stands left of it the client may have written itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

MOST_NETWORKS: Final = 100
_SHOWN_BITS: Final = {4: 24, 6: 48}


def peer_of(peer: str, forwarded: Sequence[str], trusted: int) -> str:
    """The client's address as text: `peer` is who connected, `forwarded` the headers' values.

    Behind fewer proxies than are trusted it is the outermost that is known.
    """
    if not trusted or not forwarded:
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    return [*hops, peer][-min(trusted, len(hops)) - 1]


@lru_cache(maxsize=4096)
def address_read(text: str) -> Address | None:
    """The address in `text`, with or without a port; None where there is none.

    One of IPv4 within IPv6 is the one of IPv4.
    """
    try:
        found = ip_address(_without_port(text))
    except ValueError:
        return None
    return (found.version == 6 and found.ipv4_mapped) or found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def network_of(text: str) -> str:
    """The network that is kept of an address, /24 or /48; empty for none."""
    address = address_read(text)
    if address is None:
        return ""
    bits = _SHOWN_BITS[address.version]
    return str(ip_network(f"{address}/{bits}", strict=False))


def networks_read(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR or single addresses. Raises ValidationError, which says what is wrong."""
    networks = {_network_read(text) for text in texts}
    if len(networks) > MOST_NETWORKS:
        raise ValidationError(_("Enter at most %(most)s networks.") % {"most": MOST_NETWORKS})
    return tuple(sorted(networks, key=lambda one: (one.version, one)))


def _network_read(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValidationError(_refusal(text)) from None
    if not network.prefixlen:
        said = _("%(text)s is every address. Leave the list empty to allow all of them.")
        raise ValidationError(said % {"text": text})
    if network.version == 6 and network.network_address.ipv4_mapped:
        said = _("%(text)s is IPv4 within IPv6. Write it as IPv4.")
        raise ValidationError(said % {"text": text})
    return network


def _refusal(text: str) -> str:
    """Why `text` is no network; where only its last bits are wrong, what may have been meant."""
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        said = _("“%(text)s” is no network. Write it as 203.0.113.0/24 or 2001:db8::/48.")
        return said % {"text": text[:60]}
    said = _("%(text)s has bits set past its length. Did you mean %(meant)s?")
    return said % {"text": text, "meant": meant}
