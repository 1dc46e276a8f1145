"""Words planted where only their owners may read them are found nowhere afterwards: in no table, no
key of Valkey, no spool, no log, no mail, and on no page that tells of an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
from django.core import mail
from django.db import connection
from django.test import AsyncClient, Client
from pytest_django.fixtures import Settings

from billing.ingest import ingest
from billing.models import UsageEvent
from inference.gateway.endpoints import ENDPOINTS
from tenants.tenancy import OWNER, standing_as
from tenants.valkey import client as valkey
from tests.conftest import PASSWORD, Cast
from tests.console.log_in import log_in_freshly
from tests.console.test_playground import asked, post
from tests.inference.gateway.conftest import (
    MODEL,
    Running,
    World,
    chat,
    gateway_running,
    wait_until,
)
from tests.inference.gateway.test_isolation import ask

pytestmark = pytest.mark.django_db

PROMPT: Final = "canaryprompt5c1e"
ANSWER: Final = "canaryanswer9a07"
HEADER: Final = "canaryheader31fd"
COOKIE: Final = "canarycookie77b2"
TYPED: Final = "canarypassword0e64"
HEADERS: Final = {
    "X-Custom": HEADER,
    "X-Forwarded-For": HEADER,
    "traceparent": HEADER,
    "anthropic-beta": HEADER,
}
FAULTS: Final = ("!status 400", "!status 500", "!garbage", "!die 1", "!late-fault")


class Traces:
    """All that was written where it stays, or where people read it, as bytes by its place."""

    def __init__(self, spool: Path, pages: list[str], logs: list[str]) -> None:
        self._spool, self._pages, self._logs = spool, pages, logs

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        yield from self._tables()
        yield from self._keys()
        for file in self._spool.rglob("*"):
            if file.is_file():
                yield str(file), file.read_bytes()
        yield from (("a mail", str(one.message()).encode()) for one in mail.outbox)
        yield from (("a page", page.encode()) for page in self._pages)
        yield from (("a log", log.encode()) for log in self._logs)

    def _tables(self) -> Iterator[tuple[str, bytes]]:
        """Each row as text; bytes in it as they are."""
        with standing_as(OWNER), connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SELECT row_to_json(one)::text FROM public.{table} one")  # noqa: S608
                for (row,) in cursor.fetchall():
                    yield table, row.encode()
                    for encoded in re.findall(r"\\\\x((?:[0-9a-f]{2})+)", row):
                        yield table, bytes.fromhex(encoded)

    def _keys(self) -> Iterator[tuple[str, bytes]]:
        store: Any = valkey()
        read = {
            b"string": store.get,
            b"hash": store.hgetall,
            b"list": lambda key: store.lrange(key, 0, -1),
            b"set": store.smembers,
            b"zset": lambda key: store.zrange(key, 0, -1, withscores=True),
            b"stream": store.xrange,
        }
        for key in store.scan_iter():
            yield "Valkey", key + _flat(read[store.type(key)](key))

    def of(self, word: str) -> list[str]:
        return [place for place, text in self if word.encode() in text]


def _flat(value: Any) -> bytes:
    """All bytes within `value`, one after another."""
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple | set):
        return b" ".join(map(_flat, value))
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def planted(world: World, spool: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Running]:
    """A gateway of its own, whose output is caught."""
    spool.mkdir()
    with gateway_running(SPOOL_DIR=str(spool), LOG_LEVEL="DEBUG") as running:
        yield running


def test_what_is_secret_is_found_nowhere(
    planted: Running,
    world: World,
    spool: Path,
    settings: Settings,
    async_client: AsyncClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cast = world.cast
    settings.GATEWAY_URL = f"{planted.url}/v1"
    pages = [*_requests(planted.url, cast.key.secret), *_errors(planted.url)]
    session, secret, shown = _in_the_console(cast, async_client)
    pages += shown
    wait_until(lambda: _booked(at_least=len(ENDPOINTS)))

    traces = Traces(spool, pages, [*capfd.readouterr()])

    assert UsageEvent.objects.count() >= len(ENDPOINTS)
    assert traces.of(MODEL), "nothing is found at all"
    words = (PROMPT, ANSWER, HEADER, COOKIE, TYPED, PASSWORD, session, secret, cast.key.secret)
    assert {word: found for word in words if (found := traces.of(word))} == {}


def _requests(url: str, key: str) -> list[str]:
    """Good and bad ones on each endpoint, whole and as a stream; what is told of the bad ones."""
    told: list[str] = []
    headers = HEADERS | {"Authorization": f"Bearer {key}", "Cookie": f"session={COOKIE}"}
    with httpx.Client(base_url=url, headers=headers, timeout=20) as http:
        for path in ENDPOINTS:
            assert ask(http, path, PROMPT).status_code == 200
        for stream in (False, True):
            answer = http.post(
                "/v1/chat/completions",
                json=chat(f"{PROMPT} !say {json.dumps(ANSWER)}", stream=stream),
            )
            assert ANSWER[-4:] in answer.text
            for fault in FAULTS:
                body = chat(f"{PROMPT} {fault}", stream=stream)
                answer = http.post("/v1/chat/completions", json=body)
                told.append("" if answer.is_success else answer.text)
        for bad in (chat(PROMPT, n=99), chat(PROMPT, tools=PROMPT), chat(PROMPT, model="none")):
            answer = http.post("/v1/chat/completions", json=bad)
            assert answer.status_code in {400, 404}
            told.append(answer.text)
        told.append(http.post("/v1/chat/completions", content=f'{{"messages": "{PROMPT}').text)
    return told


def _errors(url: str) -> list[str]:
    """Of those who may not come in."""
    keys = (HEADER, f"sluice_sk_{HEADER}", f"Bearer {HEADER}")
    with httpx.Client(base_url=url, headers=HEADERS) as http:
        return [
            http.post("/v1/chat/completions", json=chat(PROMPT), headers={name: key}).text
            for name in ("Authorization", "x-api-key")
            for key in keys
        ]


def _in_the_console(cast: Cast, browser: AsyncClient) -> tuple[str, str, list[str]]:
    """The id of a session, the secret of a key, and what pages showed of errors."""
    stranger = Client(headers=HEADERS)
    stranger.cookies["planted"] = COOKIE
    shown = [stranger.get("/nothing/").text, stranger.get("/o/acme/").text]
    for password in (TYPED, PASSWORD):
        page = stranger.post("/account/login/", {"login": cast.olivia.email, "password": password})
        shown.append(page.text)
    client = log_in_freshly(Client(headers=HEADERS), cast.olivia)
    page = client.post(
        "/o/acme/keys/create/", {"name": "Planted", "project": cast.project.pk, "expires": "30"}
    )
    found = re.search(r"sluice_sk_[0-9A-Za-z]{49}", page.text)
    assert found, page.text
    browser.force_login(cast.max)
    _status, answer = post(browser, asked(cast, message=f"{PROMPT} !say {json.dumps(ANSWER)}"))
    assert ANSWER[-4:] in answer
    shown += [client.get("/o/acme/keys/").text, client.get("/o/acme/nothing/").text]
    return client.cookies["sessionid"].value, found[0], shown


def _booked(at_least: int) -> bool:
    while ingest():
        pass
    return UsageEvent.objects.count() >= at_least
