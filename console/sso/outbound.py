"""Calls to providers that customers name: over TLS, to public addresses, without redirects.

Where SSO_PRIVATE is set, for providers in a network of the operator's own, any address will do.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import Any, Final, override
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter

from billing.webhooks import is_public, url_check

TIMEOUT_S: Final = 5


def session() -> requests.Session:
    """For one call or two to one host; a new one for another."""
    made = requests.Session()
    made.trust_env = False
    if not settings.SSO_PRIVATE:
        made.mount("https://", PublicAddress())
        made.mount("http://", Refusing())
    made.request = functools.partial(  # type: ignore[method-assign] # with our defaults
        made.request, timeout=TIMEOUT_S, allow_redirects=False
    )
    return made


def why_not(url: str) -> str:
    """Why a provider cannot be at `url`, as far as that shows before it is called, or ""."""
    return "" if settings.SSO_PRIVATE else url_check(url)


class PublicAddress(HTTPAdapter):
    """Asks for the address once, checks it, and calls that one with the name's certificate."""

    @override
    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        parts = urlsplit(str(request.url))
        host, port = str(parts.hostname), parts.port or 443
        address = public_address(host, port)
        self.poolmanager.connection_pool_kw |= {"server_hostname": host, "assert_hostname": host}
        request.headers["Host"] = parts.netloc
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        request.url = parts._replace(netloc=where).geturl()
        return super().send(request, *args, **options)


class Refusing(HTTPAdapter):
    @override
    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        raise requests.exceptions.InvalidURL("Providers are called over https alone.")


def public_address(host: str, port: int) -> str:
    """Raises requests.ConnectionError unless every address of `host` is public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise requests.exceptions.ConnectionError(f"{host} has no address") from error
    addresses = [str(address[0]).partition("%")[0] for *_rest, address in found]
    if not all(is_public(ipaddress.ip_address(one)) for one in addresses):
        raise requests.exceptions.ConnectionError(f"{host} is not on the public internet")
    return addresses[0]
