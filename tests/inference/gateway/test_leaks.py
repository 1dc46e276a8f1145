"""Reports of leaked keys by a scanner of code: signed, or nothing happens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tenants import keys, services
from tenants.models import ApiKey, KeyLeak
from tests.inference.gateway.conftest import Running, World, gateway_running, wait_until

pytestmark = pytest.mark.django_db

type Commit = Callable[[Callable[[], object]], object]
REPORT: Final = "/v1/secret-scanning/report"
NAME: Final = "github-1"


@pytest.fixture(scope="module")
def scanner() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@pytest.fixture(scope="module")
def told(world: World, scanner: EllipticCurvePrivateKey) -> Iterator[Running]:
    """A gateway that knows the scanner."""
    form = PublicFormat.SubjectPublicKeyInfo
    public = base64.b64encode(scanner.public_key().public_bytes(Encoding.DER, form)).decode()
    with gateway_running(SECRET_SCANNING_KEYS=f"other:{public},{NAME}:{public}") as running:
        yield running


def report(
    gateway: Running, scanner: EllipticCurvePrivateKey, document: Any, **headers: str
) -> httpx.Response:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    signature = base64.b64encode(scanner.sign(data, ECDSA(SHA256()))).decode()
    signed = {"Github-Public-Key-Identifier": NAME, "Github-Public-Key-Signature": signature}
    return httpx.post(gateway.url + REPORT, content=data, headers=signed | headers)


def test_a_reported_key_works_no_more(
    told: Running, world: World, scanner: EllipticCurvePrivateKey, commit: Commit
) -> None:
    project = world.cast.project
    new: Any = commit(lambda: services.api_key_create(actor=None, project=project, name="leaky"))
    headers = {"x-api-key": new.secret}
    models = told.url + "/v1/models"
    wait_until(lambda: httpx.get(models, headers=headers).status_code == 200)
    unknown, url = keys.key_mint(), "https://example.com/repo/blob/1/.env"
    found = [
        {"token": secret, "type": "sluice_key", "url": url, "source": "content"}
        for secret in (new.secret, unknown, "sluice_sk_junk\0")
    ]

    answer = report(told, scanner, found)

    assert answer.status_code == 200
    assert [(one["token_raw"], one["label"]) for one in answer.json()] == [
        (new.secret, "true_positive"),
        (unknown, "false_positive"),
        ("sluice_sk_junk\0", "false_positive"),
    ]
    wait_until(lambda: httpx.get(models, headers=headers).status_code == 401)
    leak = KeyLeak.objects.get(api_key=new.api_key.pk)
    assert (leak.url, leak.source, leak.told_at) == (url, "scanner", None)


def test_a_report_that_is_not_signed_does_nothing(
    told: Running, world: World, scanner: EllipticCurvePrivateKey, key: str
) -> None:
    found = [{"token": key, "type": "sluice_key", "url": "", "source": "content"}]
    other = generate_private_key(SECP256R1())
    for answer in (
        httpx.post(told.url + REPORT, json=found),
        report(told, other, found),
        report(told, scanner, found, **{"Github-Public-Key-Identifier": "nobody"}),
        report(told, scanner, found, **{"Github-Public-Key-Signature": "####"}),
        report(told, scanner, found, **{"Github-Public-Key-Signature": "AAAA"}),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_signature"
    assert ApiKey.objects.get(pk=world.cast.key.api_key.pk).is_active


@pytest.mark.parametrize("data", [b"", b"{}", b'[{"token": 7}]', b"[[[[", b"\xff", b"null"])
def test_a_report_that_is_none_is_refused(
    told: Running, scanner: EllipticCurvePrivateKey, data: bytes
) -> None:
    answer = report(told, scanner, data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_where_no_scanner_is_known_there_is_no_such_path(
    gateway: Running, scanner: EllipticCurvePrivateKey
) -> None:
    assert report(gateway, scanner, []).status_code == 404
    assert httpx.get(gateway.url + REPORT).status_code == 405
