"""Signed calls to addresses that customers name, which never reach into our own network.

Signed as standardwebhooks.com says: HMAC-SHA256 over id, timestamp and body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from http.client import HTTPException, HTTPSConnection
from threading import Timer
from typing import Final, override
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

PREFIX: Final = "whsec_"
TIMEOUT_S: Final = 5
WHOLE_S: Final = 10
"""For all of a call, however slowly the other side answers."""
HTTPS_PORT: Final = 443
_CHARS: Final = re.compile(r"[!-\[\]-~]+")
"""ASCII that is written; and no backslash, which some read as a slash."""
_HOST: Final = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}\.?")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
"""The last label of what is an address to some, though not written as one."""
_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is routed; what stands for an address of IPv4 is elsewhere, or 6to4."""
_NOT_OTHERS: Final = tuple(
    map(ipaddress.ip_network, ("168.63.129.16/32", "192.88.99.0/24", "3fff::/20"))
)
"""Answered by the host of the machine (Azure), by whoever relays 6to4, and by nobody."""

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class WebhookError(Exception):
    """The call did not arrive; says why."""


def secret_make() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature_of(secret: str, message_id: str, moment: datetime, body: bytes) -> str:
    """What goes into `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{int(moment.timestamp())}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def url_check(url: str) -> str:
    """Why `url` cannot be called, as far as that shows without asking for its address, or ""."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return _("This is not a URL. Write https://host/path.")
    if parts.scheme != "https":
        return _("Start with https://: what is sent must not be read on its way.")
    if not _CHARS.fullmatch(url):
        return _("Only ASCII, no spaces and no backslashes: write the rest percent-encoded.")
    if parts.username is not None or parts.password is not None:
        return _("No user or password in the URL: check the signature instead.")
    return _host_check(parts.hostname or "")


def _host_check(host: str) -> str:
    """One reading of a host: what others could take for an address is none."""
    with suppress(ValueError):
        is_ours = "%" in host or not is_public(ipaddress.ip_address(host))
        return _("This address is not on the public internet.") if is_ours else ""
    if not _HOST.fullmatch(host):
        return _("Name a host of the public internet: https://host.example/path.")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return _("Write an address as four numbers without zeros before them, or name a host.")
    return ""


def is_public(address: Address) -> bool:
    """Whether anyone on the internet can reach `address`, and it stands for no other."""
    if any(address in network for network in _NOT_OTHERS):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _UNICAST and address.is_global and address.sixtofour is None
    return address.is_global and not address.is_multicast


def webhook_send(url: str, secret: str, *, message_id: str, moment: datetime, body: bytes) -> None:
    """POST `body`, which is JSON. WebhookError unless it is answered with a 2xx.

    The URL is checked again: it may have been taken when less was refused.
    The name is resolved once, every address it has must be public, and the call goes to that very
    address. Redirects are not followed.
    """
    if why := url_check(url):
        raise WebhookError(why)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or HTTPS_PORT
    headers = {
        "content-type": "application/json",
        "user-agent": f"{settings.SITE_NAME}-webhooks",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature_of(secret, message_id, moment, body),
    }
    connection = _PinnedConnection(host, port, _address_of(host, port))
    status = _posted(connection, _target(parts), body, headers)
    if not 200 <= status < 300:
        raise WebhookError(f"answered {status}")


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _posted(
    connection: _PinnedConnection, target: str, body: bytes, headers: dict[str, str]
) -> int:
    guard = Timer(WHOLE_S, connection.cut)
    guard.daemon = True
    guard.start()
    try:
        connection.request("POST", target, body, headers)
        return connection.getresponse().status
    except (OSError, HTTPException, ValueError) as error:
        raise WebhookError(f"{type(error).__name__}: {error}") from error
    finally:
        guard.cancel()
        connection.close()


def _address_of(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WebhookError(f"{host} has no address") from error
    addresses = [str(address[0]) for *_rest, address in found]
    _all_public(host, addresses)
    return addresses[0]


def _all_public(host: str, addresses: Iterable[str]) -> None:
    for one in addresses:
        if not is_public(ipaddress.ip_address(one.partition("%")[0])):
            raise WebhookError(f"{host} is not on the public internet")


class _PinnedConnection(HTTPSConnection):
    """To `address` and no other, with the certificate of `host`."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._address = address

    @override
    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), TIMEOUT_S)
        try:
            self.sock = tls_context().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def cut(self) -> None:
        with suppress(OSError):
            if self.sock:
                self.sock.shutdown(socket.SHUT_RDWR)


def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
