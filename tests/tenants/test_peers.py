"""Whom a request comes from, whatever it says of itself; and which networks can be typed."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from tenants.peers import address_read, network_of, networks_read, peer_of

HOPS = st.lists(st.ip_addresses().map(str), min_size=1, max_size=6)
HEARSAY = st.lists(st.text(alphabet="0123456789abcdef.:, x", max_size=40), max_size=4)


@given(peer=st.ip_addresses().map(str), hearsay=HEARSAY)
def test_without_trusted_proxies_only_the_connection_counts(peer: str, hearsay: list[str]) -> None:
    assert peer_of(peer, hearsay, 0) == peer


@given(client=st.ip_addresses().map(str), proxies=HOPS, hearsay=HEARSAY)
def test_what_the_outermost_trusted_proxy_saw_counts(
    client: str, proxies: list[str], hearsay: list[str]
) -> None:
    """Whatever the client sent along stands left of it."""
    appended = ", ".join([*hearsay, client, *proxies[:-1]])
    assert peer_of(proxies[-1], [appended], len(proxies)) == client
    assert peer_of(proxies[-1], [*hearsay, ", ".join([client, *proxies[:-1]])], len(proxies)) == (
        client
    )


def test_past_the_proxies_it_is_the_outermost_that_is_known() -> None:
    assert peer_of("192.0.2.1", [], 2) == "192.0.2.1"
    assert peer_of("192.0.2.1", ["198.51.100.7"], 2) == "198.51.100.7"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:443", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_is_read_with_its_port_and_within_ipv6(text: str, address: str) -> None:
    assert address_read(text) == ip_address(address)


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "1.2.3.4/24"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert address_read(text) is None
    assert network_of(text) == ""


@given(st.ip_addresses())
def test_of_an_address_its_network_alone_is_kept(address: object) -> None:
    network = ip_network(network_of(str(address)))
    found = address_read(str(address))
    assert found in network
    assert network.prefixlen == (24 if network.version == 4 else 48)


@given(st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2001:db8::/32"), max_size=20))
def test_networks_are_sorted_and_each_once(addresses: list[object]) -> None:
    networks = networks_read([str(one) for one in addresses] * 2)
    assert len(networks) == len(set(networks)) == len(set(addresses))
    assert networks == networks_read(map(str, reversed(networks)))


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_network_or_refused(text: str) -> None:
    with suppress(ValidationError):
        (network,) = networks_read([text])
        assert networks_read([str(network)]) == (network,)
