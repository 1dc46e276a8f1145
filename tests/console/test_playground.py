"""The pages of the playground, before a gateway that answers by a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, override

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import AsyncClient, Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.services import rate_set
from console.playground.chats import Turn, turns_write
from console.playground.facts import Facts
from inference import control
from inference.models import Capability, Model, Region, Task
from tenants import services
from tenants.models import ApiKey, KeyKind, Membership, Role
from tenants.tokens import token_read
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.usage_rows import used

CHAT: Final = "/o/acme/playground/"
EMBEDDINGS: Final = "/o/acme/playground/embeddings/"
RERANK: Final = "/o/acme/playground/rerank/"
TRANSCRIPTION: Final = "/o/acme/playground/transcription/"
HTMX: Final = {"HX-Request": "true"}
PNG: Final = b"\x89PNG\r\n\x1a\n rest of the picture"
CANARY: Final = "canary-7f3a"


@dataclass
class Gateway:
    """Answers what `answers` says, path by path; statuses in `refuses` come first, one a call."""

    url: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    refuses: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def gateway(settings: Settings) -> Iterator[Gateway]:
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gateway.tokens.append(self.headers["Authorization"].removeprefix("Bearer "))
            gateway.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            status = gateway.refuses.pop(0) if gateway.refuses else 200
            told = {"error": {"message": f"Refused with {status}.", "code": "no"}}
            data = gateway.answers[self.path] if status == 200 else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("x-request-id", "01a1-request")
            self.send_header("x-sluice-region", "se-lulea")
            self.end_headers()
            self.wfile.write(data)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        settings.GATEWAY_URL = gateway.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield gateway
        server.shutdown()
        thread.join()


@pytest.fixture
def offer(cast: Cast, region: Region) -> Callable[..., Model]:
    def offer(public_id: str, *tasks: Task, capabilities: tuple[Capability, ...] = ()) -> Model:
        model = control.model_create(
            actor=cast.oskar,
            public_id=public_id,
            name=public_id,
            tasks=tasks or [Task.CHAT],
            capabilities=capabilities,
            context_tokens=2048,
            owned_by="Acme",
        )
        for component in model.components:
            rate_set(actor=None, model=public_id, component=component, price=Decimal("0.6"))
        return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)

    return offer


@pytest.fixture
def max_(client: Client, cast: Cast) -> Client:
    client.force_login(cast.max)
    return client


@pytest.fixture
def browser(async_client: AsyncClient, cast: Cast) -> AsyncClient:
    async_client.force_login(cast.max)
    return async_client


def asked(cast: Cast, **fields: Any) -> dict[str, Any]:
    return {"model": "acme/tiny", "project": str(cast.project.id), "message": "Hello", **fields}


def stream(*texts: str, **usage: int) -> bytes:
    events: list[dict[str, Any]] = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    events.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, **usage}})
    return "".join(f"data: {json.dumps(e)}\n\n" for e in events).encode() + b"data: [DONE]\n\n"


@async_to_sync
async def post(browser: AsyncClient, fields: dict[str, Any], **headers: str) -> tuple[int, str]:
    """The status and the whole of what comes; the database is this test's own throughout."""
    response: Any = await browser.post(CHAT, fields, headers=headers)
    if not response.streaming:
        return response.status_code, response.text
    parts = [part async for part in response]
    return response.status_code, b"".join(parts).decode()


# Who, and with what


@pytest.mark.parametrize("role", [Role.BILLING, Role.AUDITOR])
def test_who_may_not_make_keys_is_not_led_to_it(max_: Client, cast: Cast, role: Role) -> None:
    assert CHAT in max_.get("/o/acme/").text
    Membership.objects.filter(user=cast.max).update(role=role)

    assert CHAT not in max_.get("/o/acme/").text
    assert max_.get(CHAT).status_code == 403


@pytest.mark.parametrize("address", [CHAT, EMBEDDINGS, RERANK, TRANSCRIPTION])
def test_without_a_model_of_the_task_the_page_says_so(max_: Client, address: str) -> None:
    page = max_.get(address).text
    assert "No model does this yet" in page
    assert "<textarea" not in page


def test_a_tab_offers_the_models_of_its_task(
    max_: Client, cast: Cast, offer: Callable[..., Model]
) -> None:
    offer("acme/tiny")
    offer("acme/reader", Task.EMBEDDING)
    hidden = offer("rivals/own")
    control.model_set_visibility(actor=None, model=hidden, organizations=[cast.rival])

    assert options(max_.get(CHAT).text) == ["acme/tiny"]
    assert options(max_.get(EMBEDDINGS).text) == ["acme/reader"]


@pytest.mark.parametrize("address", [CHAT, EMBEDDINGS, RERANK, TRANSCRIPTION])
def test_the_only_project_of_an_organization_pays(
    max_: Client, cast: Cast, offer: Callable[..., Model], address: str
) -> None:
    offer("all", Task.CHAT, Task.EMBEDDING, Task.RERANK, Task.TRANSCRIPTION)
    page = max_.get(address).content.decode()
    assert f'<input type="hidden" name="project" value="{cast.project.pk}"' in page


def options(page: str) -> list[str]:
    return re.findall(r'<option value="([a-z]+/[^"]+)"', page)


def test_looking_makes_no_key(max_: Client, offer: Callable[..., Model]) -> None:
    offer("acme/tiny")
    max_.get(CHAT)
    assert not ApiKey.objects.filter(kind=KeyKind.PLAYGROUND).exists()


def test_a_call_carries_a_token_of_the_person_and_the_project(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    gateway.answers["/v1/chat/completions"] = stream("Hej")

    post(browser, asked(cast))

    claims = token_read(gateway.tokens[0])
    key = ApiKey.objects.get(project=cast.project, kind=KeyKind.PLAYGROUND)
    assert claims
    assert (claims.api_key_id, claims.user_id) == (key.id, cast.max.pk)


def test_the_playgrounds_key_is_in_no_list_and_cannot_be_revoked(max_: Client, cast: Cast) -> None:
    key = services.playground_key_open(actor=cast.max, project=cast.project)
    used(key, timezone.now(), requests=3)

    assert "Playground</span>" not in max_.get("/o/acme/keys/?state=all").text
    log_in_freshly(max_, cast.max)
    assert max_.post(f"/o/acme/keys/{key.id}/revoke/").status_code == 404
    usage = max_.get("/o/acme/usage/?group=api_key&days=7").text
    assert "Playground" in usage.replace(CHAT, "")
    key.refresh_from_db()
    assert key.is_active


def test_a_project_of_another_organization_cannot_pay(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    status, page = post(browser, asked(cast, project=str(cast.rival_project.id)))
    assert (status, gateway.tokens) == (422, [])
    assert "Secret" not in page


# Chats


def test_htmx_gets_the_answer_in_pieces(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    gateway.answers["/v1/chat/completions"] = stream("**Hej", "** du")

    status, events = post(browser, asked(cast, temperature="0.5", stop="a\nb"), **HTMX)

    assert status == 200
    first, *_, last = events.strip().split("\n\n")
    assert all(line.startswith("data: ") for line in first.splitlines())
    assert "Waiting for the first token" in first
    assert "<strong>Hej</strong> du" in events
    assert "€0.000 006 600 000".replace(" ", "\u2009") in events
    assert "01a1-request" in events
    assert "Luleå" in events
    assert "Hello" not in last
    body = json.loads(gateway.bodies[0])
    assert (body["temperature"], body["stop"]) == (0.5, ["a", "b"])
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert "seed" not in body


def test_without_htmx_the_page_comes_with_the_answer(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    gateway.answers["/v1/chat/completions"] = stream("Hej")

    status, page = post(browser, asked(cast))

    assert status == 200
    assert "<html" in page
    assert "<p>Hej</p>" in page
    assert "&quot;answer&quot;:&quot;Hej&quot;" in page  # the conversation, in its form


def test_an_error_of_the_api_is_shown_and_what_was_typed_kept(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    gateway.refuses = [404]

    _status, page = post(browser, asked(cast, message="Is it <here>?"))

    assert "Refused with 404." in page
    assert "01a1-request" in page
    assert "Is it &lt;here&gt;?</textarea>" in page
    assert 'id="history-0" value="[]"' in page


def test_a_gateway_that_has_not_heard_of_the_key_is_asked_again(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny")
    gateway.answers["/v1/chat/completions"] = stream("Hej")
    gateway.refuses = [401, 401]

    _status, page = post(browser, asked(cast))

    assert "<p>Hej</p>" in page
    assert len(gateway.tokens) == 3


def test_a_gateway_that_is_not_there_is_told(
    browser: AsyncClient, cast: Cast, offer: Callable[..., Model], settings: Settings
) -> None:
    offer("acme/tiny")
    settings.GATEWAY_URL = "http://127.0.0.1:9/v1"
    _status, page = post(browser, asked(cast))
    assert "The gateway does not answer" in page


def test_nothing_of_a_conversation_is_kept(
    browser: AsyncClient,
    max_: Client,
    cast: Cast,
    offer: Callable[..., Model],
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
) -> None:
    offer("acme/tiny")
    gateway.answers["/v1/chat/completions"] = stream(CANARY)

    post(browser, asked(cast, message=CANARY, system=CANARY))

    assert CANARY not in max_.get(CHAT).text
    assert CANARY not in str(dict(max_.session))
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"message": " "}, "Write a message."),
        ({"message": "x" * 200_001}, "at most 200000 characters"),
        ({"temperature": "3"}, "less than or equal to 2"),
        ({"seed": "x"}, "Enter a whole number"),
        ({"stop": "1\n2\n3\n4\n5"}, "Write at most 4 lines"),
        ({"tools": "{"}, "This is not JSON"),
        ({"tools": "{}"}, "Write a list of at most 128 tools"),
        ({"turns_0": "nonsense"}, "The conversation cannot be read"),
        ({"model": "no/such"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_sent_says_what_to_do(
    max_: Client,
    cast: Cast,
    offer: Callable[..., Model],
    gateway: Gateway,
    fields: dict[str, str],
    message: str,
) -> None:
    offer("acme/tiny")
    response = max_.post(CHAT, asked(cast, **fields), headers=HTMX)
    assert response.status_code == 422
    assert message in response.text
    assert response["HX-Retarget"] == "#main"
    assert gateway.tokens == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.png", PNG + b"x" * 2_097_152)], "larger than 2 MB"),
        ([("a.png", b"<svg>")], "a.png is not a PNG"),
        ([(f"{n}.png", PNG) for n in range(5)], "At most 4 images"),
    ],
)
def test_images_are_checked(
    max_: Client,
    cast: Cast,
    offer: Callable[..., Model],
    files: list[tuple[str, bytes]],
    message: str,
) -> None:
    offer("acme/tiny", capabilities=(Capability.VISION,))
    images = [SimpleUploadedFile(name, data) for name, data in files]
    response = max_.post(CHAT, asked(cast, images=images))
    assert response.status_code == 422
    assert message in response.text


def test_a_model_without_eyes_gets_no_image(
    max_: Client, cast: Cast, offer: Callable[..., Model]
) -> None:
    offer("acme/tiny")
    offer("acme/eyes", capabilities=(Capability.VISION,))
    images = [SimpleUploadedFile("a.png", PNG)]
    response = max_.post(CHAT, asked(cast, images=images))
    assert "acme/tiny does not read images" in response.text


def test_a_model_is_added_and_taken_away_and_the_conversation_cleared(
    max_: Client, cast: Cast, offer: Callable[..., Model]
) -> None:
    offer("acme/tiny")
    offer("acme/zweite")
    said = turns_write([Turn("Before", answer="Then", facts=Facts(requests=1))])
    told = asked(cast, turns_0=said, system="Be brief.")

    two = max_.post(CHAT, {**told, "act": "compare"}).text
    one = max_.post(CHAT, {**told, "other": "acme/zweite", "turns_1": said, "act": "single"}).text
    none = max_.post(CHAT, {**told, "act": "clear"}).text

    assert '<option value="acme/zweite" selected' in two
    assert two.count("Before</div>") == 1
    assert 'id="turns-1"' not in one
    assert one.count("Before</div>") == 1
    assert "Before" not in none
    assert all("Be brief." in page for page in (two, one, none))


def test_the_code_is_of_what_would_be_sent_or_of_what_was(
    max_: Client, cast: Cast, offer: Callable[..., Model]
) -> None:
    offer("acme/tiny")
    said = turns_write([Turn("Before", answer="Then")])

    new = max_.post(CHAT, asked(cast, turns_0=said, act="code-0")).text
    last = max_.post(CHAT, asked(cast, turns_0=said, message="", act="code-0")).text

    assert "Then" in new
    assert "Hello" in new
    assert "Before" in last
    assert "Then" not in last


# The other tabs


def test_texts_are_compared(
    max_: Client, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny", Task.EMBEDDING)
    vectors = [{"embedding": [1, 0]}, {"embedding": [0, 1]}, {"embedding": [3, 3]}]
    usage = {"prompt_tokens": 10}
    gateway.answers["/v1/embeddings"] = json.dumps({"data": vectors, "usage": usage}).encode()

    page = max_.post(EMBEDDINGS, asked(cast, texts="a\n\n b \nc")).text

    assert json.loads(gateway.bodies[0])["input"] == ["a", "b", "c"]
    values = re.findall(r'<td class="n">([\d.]+)</td>', page)
    assert [values[:3], values[3:6], values[6:]] == [
        ["1.000", "0.000", "0.707"],
        ["0.000", "1.000", "0.707"],
        ["0.707", "0.707", "1.000"],
    ]
    assert "€0.000 006 000 000".replace(" ", "\u2009") in page


def test_documents_are_ranked(
    max_: Client, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny", Task.RERANK)
    results = [
        {"index": 0, "relevance_score": -2.5},
        {"index": 1, "relevance_score": 0.9},
    ]
    told = {"results": results, "usage": {"prompt_tokens": 10}}
    gateway.answers["/v1/rerank"] = json.dumps(told).encode()

    page = max_.post(RERANK, asked(cast, query="Which?", documents="worse\nbetter")).text

    assert page.index("1. better") < page.index("2. worse")
    assert "0.9000" in page
    assert 'width="0.0%"' in page


def test_a_recording_is_written_down(
    max_: Client, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny", Task.TRANSCRIPTION)
    told = {"text": "God morgon", "usage": {"type": "duration", "seconds": 2}}
    gateway.answers["/v1/audio/transcriptions"] = json.dumps(told).encode()
    file = SimpleUploadedFile("a.wav", b"RIFF....WAVE", "audio/wav")

    page = max_.post(TRANSCRIPTION, asked(cast, file=file, language="sv")).text

    assert "God morgon" in page
    assert "€0.020" in page
    assert b'name="language"' in gateway.bodies[0]
    assert b"RIFF....WAVE" in gateway.bodies[0]


@pytest.mark.parametrize(
    ("address", "task", "fields", "message"),
    [
        (EMBEDDINGS, Task.EMBEDDING, {"texts": "alone"}, "Write 2 to 12 lines"),
        (RERANK, Task.RERANK, {"query": "Which?"}, "This field is required"),
        (TRANSCRIPTION, Task.TRANSCRIPTION, {}, "This field is required"),
    ],
)
def test_what_a_tab_needs_is_told(
    max_: Client,
    cast: Cast,
    offer: Callable[..., Model],
    address: str,
    task: Task,
    fields: dict[str, str],
    message: str,
) -> None:
    offer("acme/tiny", task)
    response = max_.post(address, asked(cast, **fields))
    assert response.status_code == 422
    assert message in response.text


def test_a_tab_shows_the_apis_error_and_an_answer_that_is_none(
    max_: Client, cast: Cast, offer: Callable[..., Model], gateway: Gateway
) -> None:
    offer("acme/tiny", Task.EMBEDDING)
    gateway.answers["/v1/embeddings"] = b"{not json"
    gateway.refuses = [503]
    asks = asked(cast, texts="a\nb")

    assert "Refused with 503." in max_.post(EMBEDDINGS, asks).text
    assert "The answer cannot be read." in max_.post(EMBEDDINGS, asks).text


def test_each_tab_shows_its_question_as_code(
    max_: Client, cast: Cast, offer: Callable[..., Model]
) -> None:
    offer("acme/tiny", Task.EMBEDDING, Task.RERANK)
    texts = max_.post(EMBEDDINGS, asked(cast, texts="a\nb", act="code"), headers=HTMX).text
    ranks = max_.post(RERANK, asked(cast, query="q", documents="d", act="code")).text
    assert "client.embeddings.create(" in texts
    assert "<html" not in texts
    assert "/rerank" in ranks
