"""Reports of leaked keys, as GitHub's secret scanning sends them to its partners.

https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.http import HttpResponse

from inference.gateway.database import in_thread
from inference.gateway.drf import AsyncAPIView
from inference.gateway.errors import BadSignature, InvalidRequest, UnknownPath
from inference.gateway.handler import GatewayRequest
from tenants.models import LeakSource
from tenants.services import key_leak_report

MOST: Final = 1000
"""Keys in one report."""

type Label = Literal["true_positive", "false_positive"]

log = structlog.get_logger()


class Leak(msgspec.Struct):
    """One match of our pattern, and where it was found."""

    token: str
    type: str = ""
    url: str = ""
    source: str = ""


class Verdict(msgspec.Struct):
    """What is told of a match: whether it is a key of ours. It works no more then."""

    token_raw: str
    token_type: str
    label: Label


_leaks: Final = msgspec.json.Decoder(list[Leak])


class LeakView(AsyncAPIView):
    """Revoke the keys that a scanner of code found. It needs no API key but a signature."""

    async def post(self, request: GatewayRequest) -> HttpResponse:
        keys = public_keys(tuple(settings.SECRET_SCANNING_KEYS))
        if not keys:
            raise UnknownPath("This server takes no reports of leaked keys; the console does.")
        name = request.header(b"github-public-key-identifier")
        signature = request.header(b"github-public-key-signature")
        signature_check(keys, name, signature, request.data)
        verdicts = await asyncio.to_thread(in_thread(_reported), leaks_read(request.data))
        log.info("leaks.reported", reporter=name, count=len(verdicts))
        return HttpResponse(msgspec.json.encode(verdicts), content_type="application/json")


def _reported(leaks: list[Leak]) -> list[Verdict]:
    return [Verdict(leak.token, leak.type, _label(leak)) for leak in leaks]


def _label(leak: Leak) -> Label:
    is_ours = key_leak_report(secret=leak.token, source=LeakSource.SCANNER, url=leak.url)
    return "true_positive" if is_ours else "false_positive"


def leaks_read(data: bytes) -> list[Leak]:
    """Raises InvalidRequest."""
    try:
        leaks = _leaks.decode(data)
    except msgspec.MsgspecError:
        text = "A report is a JSON list of objects with `token`, `type`, `url` and `source`."
        raise InvalidRequest(text, code="invalid_json") from None
    if len(leaks) > MOST:
        raise InvalidRequest(f"A report holds at most {MOST:,} keys. Send more of them.")
    return leaks


@lru_cache(maxsize=1)
def public_keys(texts: tuple[str, ...]) -> Mapping[str, EllipticCurvePublicKey]:
    """By their ids, of the texts `id:base64 of DER`. Raises ValueError for what is none."""
    found = dict[str, EllipticCurvePublicKey]()
    for text in texts:
        name, _, encoded = text.partition(":")
        key = load_der_public_key(base64.b64decode(encoded))
        if not isinstance(key, EllipticCurvePublicKey):
            raise TypeError(f"SECRET_SCANNING_KEYS: {name} is no ECDSA key.")
        found[name] = key
    return found


def signature_check(
    keys: Mapping[str, EllipticCurvePublicKey], name: str, signature: str, data: bytes
) -> None:
    """Raises BadSignature unless `signature`, in base64, is of `data` by the key called `name`."""
    try:
        keys[name].verify(base64.b64decode(signature, validate=True), data, ECDSA(SHA256()))
    except (KeyError, binascii.Error, InvalidSignature):
        raise BadSignature from None
