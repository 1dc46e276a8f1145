"""What an engine is sent, and over what."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from inference.gateway.endpoint import Question
from inference.gateway.upstream import Unreachable, Upstream
from tests.inference.gateway.upstream.engines import (
    ANSWER,
    HEAD,
    PATIENT,
    QUESTION,
    Caller,
    Engine,
    answers,
    chunk,
    says,
    serving,
    soon,
)

TOO_LARGE: Final = (
    b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large"
)
MANY_BYTES: Final = 12_000_000
"""More than sockets hold."""


async def ask(upstream: Upstream, engine: Engine, data: bytes = b"{}") -> bytes:
    question = QUESTION._replace(data=data)
    return await (await upstream.call(engine.route, question, "id", PATIENT)).read()


async def test_a_call_arrives_as_it_was_meant(upstream: Upstream) -> None:
    heads = list[bytes]()

    async def listens(caller: Caller) -> None:
        heads.append(await caller.head())
        await caller.hears(ANSWER)

    async with serving(listens, path="/vllm") as engine:
        route = replace(engine.route, key="secret")
        question = Question("/v1/audio/transcriptions", b"--", "multipart/form-data; boundary=-")
        await upstream.call(route, question, "request-1", PATIENT)
        host = engine.route.base_url.removeprefix("http://").removesuffix("/vllm")
    assert heads[0].decode().split("\r\n") == [
        "POST /vllm/v1/audio/transcriptions HTTP/1.1",
        f"Host: {host}",
        "Authorization: Bearer secret",
        "Content-Type: multipart/form-data; boundary=-",
        "X-Request-Id: request-1",
        "Content-Length: 2",
        "",
        "",
    ]


@pytest.mark.parametrize("size", [0, 2**16, 2**16 + 1, MANY_BYTES])
async def test_a_body_arrives_whole(upstream: Upstream, size: int) -> None:
    async def hashes_it(caller: Caller) -> None:
        for _ in range(2):
            digest = sha256(await caller.asks()).hexdigest().encode()
            await caller.hears(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk(digest))
            await caller.hears(chunk(b""))

    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with serving(hashes_it) as engine:
        for _ in range(2):
            answer = await ask(upstream, engine, body)
            assert answer.decode() == sha256(body).hexdigest()
        assert engine.callers == 1


async def test_an_engine_may_refuse_a_body_before_it_has_read_it(upstream: Upstream) -> None:
    async def refuses(caller: Caller) -> None:
        await caller.head()
        await caller.hears(TOO_LARGE)

    async with serving(refuses) as engine:
        for _ in range(5):
            question = QUESTION._replace(data=b"x" * MANY_BYTES)
            reply = await upstream.call(engine.route, question, "id", PATIENT)
            assert (reply.status, await reply.read()) == (413, b"too large")


async def test_a_connection_is_left_while_it_is_still_sending(upstream: Upstream) -> None:
    async def refuses_politely(caller: Caller) -> None:
        await caller.head()
        await caller.hears(TOO_LARGE.replace(b"Connection: close\r\n", b""))
        await caller.leaves()

    async with serving(refuses_politely) as engine:
        assert await ask(upstream, engine, b"x" * MANY_BYTES) == b"too large"
        await engine.left()


async def test_an_engine_that_reads_no_body_does_not_keep_a_caller_that_leaves(
    upstream: Upstream,
) -> None:
    may_read = asyncio.Event()

    async def deaf(caller: Caller) -> None:
        await caller.head()
        await may_read.wait()
        await caller.leaves()

    async with serving(deaf) as engine:
        call = asyncio.create_task(ask(upstream, engine, b"x" * MANY_BYTES))
        await soon(lambda: upstream.open_connections)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        may_read.set()
        await engine.left()
        assert upstream.open_connections == 0


async def test_an_address_of_ipv6_works(upstream: Upstream) -> None:
    async with serving(says(ANSWER), host="::1", name="[::1]") as engine:
        assert await ask(upstream, engine) == b"{}"


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's, with a certificate for localhost and 127.0.0.1 that nobody trusts yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate = _certificate(key)
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_an_encrypted_engine_that_is_trusted_works(
    upstream: Upstream,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    body = b"x" * 1_000_000
    async with serving(answers(ANSWER, ANSWER), name=name, tls=tls) as engine:
        for _ in range(2):
            assert await ask(upstream, engine, body) == b"{}"
        assert engine.callers == 1


async def test_an_encrypted_engine_that_nobody_trusts_is_not_asked(
    upstream: Upstream, tls: ssl.SSLContext
) -> None:
    async with serving(says(ANSWER), name="localhost", tls=tls) as engine:
        with pytest.raises(Unreachable, match="connect_failed"):
            await ask(upstream, engine)
        assert upstream.open_connections == 0
