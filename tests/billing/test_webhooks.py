"""Signed calls out, and the addresses that they never reach."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn, override

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from billing import webhooks
from billing.webhooks import WebhookError, is_public, url_check, webhook_send
from tests.billing.hostile_urls import RESOLVED, UNREADABLE

HOST = "hooks.acme.test"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_must_not_be_called_is_refused_with_a_reason(url: str) -> None:
    assert url_check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://acme.test/hooks?from=sluice", "https://1.1.1.1/", "https://[2606:4700::1111]:8443/",
        "HTTPS://Hooks.Acme.test:8443/a%20b;c=d/@me?x=[1]&y=%5C#part", "https://xn--bcher-kva.test",
        "https://a_b.acme.test./", "https://3com.test/", "https://hooks.acme.test/T0/B0/~x'(1)*$",
    ],
)  # fmt: skip
def test_a_plain_https_url_is_taken(url: str) -> None:
    assert url_check(url) == ""


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to; none of them answers."""
    found = list[str]()

    def connect(address: tuple[str, int], *_: object) -> NoReturn:
        found.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return found


def _name_server(monkeypatch: pytest.MonkeyPatch, *answers: Mapping[str, Sequence[str]]) -> None:
    """What it answers to each question in turn; the last answer for ever."""
    left = list(answers)

    def resolve(host: str, port: int, *_: Any, **__: Any) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if not answer.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(0, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def call(url: str) -> None:
    webhook_send(url, webhooks.secret_make(), message_id="1", moment=NOW, body=b"{}")


def test_nothing_inside_is_connected_to_however_it_is_named(
    monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    _name_server(monkeypatch, RESOLVED)
    hostile = [*UNREADABLE, *(f"https://{host}/hook" for host in RESOLVED)]
    assert len(set(hostile)) >= 200
    for url in hostile:
        with pytest.raises(WebhookError):
            call(url)
        assert connected == [], url


def test_a_name_that_resolves_to_something_else_the_next_time_gains_nothing(
    monkeypatch: pytest.MonkeyPatch, connected: list[str]
) -> None:
    _name_server(monkeypatch, {"acme.test": ["1.1.1.1"]}, {"acme.test": ["127.0.0.1"]})
    with pytest.raises(WebhookError, match="ConnectionRefusedError"):
        call("https://acme.test/hook")
    assert connected == ["1.1.1.1"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
        "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1", "fec0::1",
    ],
)  # fmt: skip
def test_an_address_of_ours_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


def test_the_addresses_of_others_are_public() -> None:
    assert is_public(ipaddress.ip_address("1.1.1.1"))
    assert is_public(ipaddress.ip_address("2606:4700:4700::1111"))


class Listener(BaseHTTPRequestHandler):
    """Keeps what it was sent and answers `status`."""

    status = 204
    seen: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).seen.append((self.path, dict(self.headers.items()), body))
        self.send_response(self.status)
        self.send_header("location", "https://elsewhere.test/")
        self.send_header("content-length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for HOST, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path_factory.mktemp("tls") / "host.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@pytest.fixture
def listener(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Listener]]:
    """A server with the certificate of HOST, which resolves to it and counts as public."""
    handler = type("Handler", (Listener,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    _resolves_to(monkeypatch, "127.0.0.1", server.server_port)
    monkeypatch.setattr(webhooks, "is_public", lambda address: str(address) == "127.0.0.1")
    trusted = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(webhooks, "tls_context", lambda: trusted)
    with _serving(server):
        yield handler


@contextmanager
def _serving(server: HTTPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str | int) -> None:
    """Each host has the `addresses`, and the port that is among them."""
    *hosts, port = addresses
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
    plain = socket.getaddrinfo

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        return found if host == HOST else plain(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def send(port: int, host: str = HOST) -> str:
    secret = webhooks.secret_make()
    url = f"https://{host}:{port}/hook?a=1"
    webhook_send(url, secret, message_id="budget-alert-1", moment=NOW, body=b'{"a": 1}')
    return secret


def port_of() -> int:
    return int(socket.getaddrinfo(HOST, 0)[0][4][1])


def test_a_call_is_signed_so_that_the_receiver_can_check_it(listener: type[Listener]) -> None:
    secret = send(port_of())
    ((path, headers, body),) = listener.seen
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"budget-alert-1.{int(NOW.timestamp())}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert path == "/hook?a=1"
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["webhook-id"] == "budget-alert-1"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["Host"].partition(":")[0] == HOST


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_other_answer_is_a_failure_and_a_redirect_is_not_followed(
    listener: type[Listener], status: int
) -> None:
    listener.status = status
    with pytest.raises(WebhookError, match=f"answered {status}"):
        send(port_of())
    assert len(listener.seen) == 1


def test_a_certificate_of_another_name_is_refused(
    listener: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WebhookError, match="CERTIFICATE_VERIFY_FAILED"):
        send(port_of(), host="127.0.0.1")
    assert listener.seen == []


def test_a_name_that_has_an_inner_address_among_its_own_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolves_to(monkeypatch, "1.1.1.1", "10.0.0.7", 443)
    with pytest.raises(WebhookError, match="not on the public internet"):
        send(443)


def test_a_server_that_drips_is_cut_off(
    listener: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WHOLE_S", 0.2)
    monkeypatch.setattr(listener, "do_POST", lambda self: self.rfile.read(10_000_000))
    with pytest.raises(WebhookError):
        send(port_of())
