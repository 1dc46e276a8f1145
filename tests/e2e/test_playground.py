"""The playground in a browser: a console as it is run, a real gateway, a fake engine."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from billing.models import UsageEvent
from billing.services import rate_set
from inference import control
from inference.models import Capability, Region, Task
from tests import fake_vllm
from tests.conftest import Cast
from tests.e2e.conftest import LogIn, in_server_sight
from tests.e2e.test_first_call import book
from tests.e2e.test_pages import listen, look, save
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.audio import SAID, speech
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import ROOT, Running, gateway_running, wait_until
from tests.servers import console_url

pytestmark = pytest.mark.django_db

FIRST: Final = "playground/first"
SECOND: Final = "playground/second"
READER: Final = "playground/reader"
LISTENER: Final = "playground/listener"
GONE: Final = "gpt-oss-120b"
"""Its backend is not there."""
PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeVllm]:
    with fake_vllm.running(api_keys=("engine-key",)) as running:
        yield running


@pytest.fixture(scope="module")
def console(server: object, engine: FakeVllm) -> Iterator[str]:
    """The address of a console and its gateway before `engine`."""
    in_server_sight(offer, url=engine.url)
    with gateway_running() as gateway, console_running(gateway) as url:
        yield url


def offer(*, url: str) -> None:
    backend = control.backend_register(
        actor=None,
        name="playground",
        base_url=url,
        engine="vllm",
        region=Region.objects.get(),
        key="engine-key",
    )
    for public_id, tasks, capabilities in (
        (FIRST, [Task.CHAT], [Capability.VISION, Capability.TOOLS]),
        (SECOND, [Task.CHAT], []),
        (READER, [Task.EMBEDDING, Task.RERANK], []),
        (LISTENER, [Task.TRANSCRIPTION], []),
    ):
        model = control.model_create(
            actor=None,
            public_id=public_id,
            name=public_id,
            tasks=tasks,
            capabilities=capabilities,
            context_tokens=2048,
            owned_by="Acme",
        )
        for component in model.components:
            rate_set(actor=None, model=public_id, component=component, price=Decimal("0.25"))
        control.model_deploy(actor=None, model=model, backend=backend, engine_model="tiny-llama")
        control.model_set_enabled(actor=None, model=model, enabled=True)


@contextmanager
def console_running(gateway: Running) -> Iterator[str]:
    """A console as `make up` runs it, in the tests' database."""
    port = free_port()
    env = os.environ | {"DATABASE_URL": console_url(), "GATEWAY_URL": f"{gateway.url}/v1"}
    manage = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
    subprocess.run(manage, env=env, cwd=ROOT, check=True)  # noqa: S603 - our own command
    options = f"--interface asginl --loop uvloop --host 127.0.0.1 --port {port}"
    command = [sys.executable, "-m", "granian", *options.split(), "console.asgi:application"]
    process = subprocess.Popen(command, env=env, cwd=ROOT)  # noqa: S603 - our own command
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_up(url, process), 30)
        yield url
    finally:
        process.terminate()
        process.wait(15)


def is_up(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the console ended"
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def page(context_of: LogIn, console: str) -> Iterator[Page]:
    page = context_of("max").new_page()
    page.set_viewport_size({"width": 1440, "height": 900})
    faults = listen(page)
    yield page
    assert faults == []


def opened(page: Page, console: str, tab: str = "", **models: str) -> None:
    query = "&".join(f"{name}={value}" for name, value in models.items())
    page.goto(f"{console}/o/acme/playground/{tab}?{query}")


def send(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_an_answer_is_seen_growing_and_then_what_it_cost(
    page: Page, console: str, people: Cast
) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("System prompt").fill("Be brief.")
    send(page, "Tell me !tokens 12 !delay 150")

    answer = page.locator("#answer-0-0")
    expect(answer).to_contain_text("index found")
    assert "über" not in answer.inner_text()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    turn = page.locator("#turn-0-0")
    expect(turn).to_contain_text("Cost", timeout=60_000)
    expect(turn).to_contain_text("über")
    expect(turn).to_contain_text("First token")
    expect(turn).to_contain_text("Luleå")
    expect(page.get_by_label("Message")).to_have_value("")
    expect(page.locator("#session")).to_contain_text("16 in, 12 out")

    page.get_by_label("Message").fill("And more !tokens 4")
    page.get_by_label("Message").press("Control+Enter")
    expect(page.locator("#turn-0-1")).to_contain_text("Cost")
    expect(page.locator("#session")).to_contain_text("Requests2")
    look(page, "playground-answered")


def test_the_conversation_so_far_goes_with_each_message(
    page: Page, console: str, engine: FakeVllm
) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Temperature").fill("0.2")
    send(page, "First !tokens 2")
    expect(page.locator("#turn-0-0")).to_contain_text("Cost")
    page.get_by_label("Message").fill("Second !tokens 2")
    page.get_by_label("Temperature").press("Enter")
    expect(page.locator("#turn-0-1")).to_contain_text("Cost")

    body = engine.state()["last_request_body"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == "index found"
    assert (body["temperature"], body["max_tokens"]) == (0.2, 1024)


def test_two_models_answer_side_by_side(page: Page, console: str) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Message").fill("kept while a model is added")
    page.get_by_role("button", name="Add model").click()
    expect(page.get_by_label("Message")).to_have_value("kept while a model is added")
    page.get_by_label("Model 2").select_option(SECOND)
    send(page, "Tell me !tokens 8 !delay 60")

    for index in (0, 1):
        expect(page.locator(f"#answer-{index}-0")).to_contain_text("index")
    for index in (0, 1):
        expect(page.locator(f"#turn-{index}-0")).to_contain_text("Cost")
    expect(page.locator("#session")).to_contain_text("Requests2")
    look(page, "playground-compared")


def test_a_model_that_fails_says_so_in_the_apis_words_and_the_other_goes_on(
    page: Page, console: str
) -> None:
    opened(page, console, model=GONE, other=SECOND)
    send(page, "Hello !tokens 3")

    expect(page.get_by_role("alert")).to_contain_text("The model's server failed on this request")
    expect(page.locator("#turn-1-0")).to_contain_text("Cost")
    save(page, "playground-failed-light-1440")


def test_what_failed_can_be_sent_again(page: Page, console: str) -> None:
    opened(page, console, model=FIRST)
    send(page, "Hello !die 2 !delay 30")

    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("Hello !die 2 !delay 30")
    expect(page.locator("#history-0")).to_have_value("[]")


def test_a_box_that_was_made_larger_breaks_nothing(page: Page, console: str) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Message").evaluate("box => { box.style.height = '9rem' }")
    send(page, "Hello !tokens 2")
    expect(page.locator("#turn-0-0")).to_contain_text("Cost")
    page.get_by_label("System prompt").evaluate("box => { box.style.height = '9rem' }")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#turns-0")).to_contain_text("Write a message below")


def test_stop_and_leaving_end_the_work_of_the_engine(
    page: Page, console: str, engine: FakeVllm
) -> None:
    engine.reset()
    opened(page, console, model=FIRST)
    send(page, "Forever !stall 2")
    expect(page.locator("#answer-0-0")).to_contain_text("index")
    page.get_by_role("button", name="Stop").click()
    engine.wait_for(aborted=1)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()

    send(page, "Forever again !stall 2")
    engine.wait_for(running=1)
    page.goto(f"{console}/o/acme/usage/")
    engine.wait_for(aborted=2, running=0)


def test_without_javascript_the_page_comes_with_the_answer(context_of: LogIn, console: str) -> None:
    page = context_of("max", java_script_enabled=False).new_page()
    opened(page, console, model=FIRST)
    send(page, "Hello !tokens 3")

    expect(page.get_by_text("index found but")).to_be_visible()
    expect(page.get_by_text("Cost").first).to_be_visible()
    send(page, "And again !tokens 2")
    expect(page.get_by_text("index found but")).to_be_visible()
    expect(page.locator("#session")).to_contain_text("Requests2")
    page.get_by_role("button", name="View code").click()
    expect(page.get_by_text("from openai import OpenAI")).to_be_visible()


def test_a_picture_goes_to_a_model_that_sees(page: Page, console: str, engine: FakeVllm) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Images").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": PNG}
    )
    send(page, "What is it? !tokens 3")
    expect(page.get_by_alt_text("Image 1 of the message")).to_be_visible()
    expect(page.locator("#turn-0-0")).to_contain_text("Cost")
    parts = engine.state()["last_request_body"]["messages"][0]["content"]
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")

    page.get_by_label("Model", exact=True).select_option(SECOND)
    page.get_by_label("Images").set_input_files(
        {"name": "dot.png", "mimeType": "image/png", "buffer": PNG}
    )
    send(page, "And you?")
    expect(page.get_by_text("playground/second does not read images")).to_be_visible()


def test_a_tool_is_called_and_given_its_result(page: Page, console: str, engine: FakeVllm) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Tools").fill(
        '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]'
    )
    send(page, 'Is it cold? !reason 3 !tool weather {"place":"Luleå"}')
    turn = page.locator("#turn-0-0")
    expect(turn).to_contain_text("Calls the tool weather")
    expect(turn).to_contain_text('{"place":"Luleå"}')
    expect(turn).to_contain_text("given to the model as the result of its tools")
    turn.get_by_text("Reasoning").click()
    save(page, "playground-tools-light-1440")

    send(page, "-12 °C !tokens 2")
    expect(page.locator("#turn-0-1")).to_contain_text("Cost")
    asked, called, gave = engine.state()["last_request_body"]["messages"]
    assert (asked["role"], gave["role"], gave["content"]) == ("user", "tool", "-12 °C !tokens 2")
    assert gave["tool_call_id"] == called["tool_calls"][0]["id"]


def test_the_request_is_shown_as_code(page: Page, console: str) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Message").fill("It's me")
    page.get_by_role("button", name="View code").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text('"seed": 7').first).to_be_visible()
    dialog.get_by_role("tab", name="Python").click()
    expect(dialog.get_by_text('model="playground/first"')).to_be_visible()
    save(page, "playground-code-light-1440")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Message")).to_have_value("It's me")


@pytest.mark.parametrize(
    ("tab", "command"), [("curl", ["sh", "-c"]), ("Python", [sys.executable, "-c"])]
)
def test_the_code_asks_the_same(
    page: Page, console: str, engine: FakeVllm, people: Cast, tab: str, command: list[str]
) -> None:
    opened(page, console, model=FIRST)
    page.get_by_label("System prompt").fill('It\'s "brief" \\ $HOME')
    page.get_by_label("Stop at").fill("END")
    send(page, "Hej på dig !tokens 3")
    expect(page.locator("#turn-0-0")).to_contain_text("Cost")
    asked = engine.state()["last_request_body"]
    engine.reset()

    page.get_by_role("button", name="View code").click()
    page.get_by_role("dialog").get_by_role("tab", name=tab).click()
    code = page.get_by_role("dialog").locator("[role=tabpanel]:not([hidden]) pre").text_content()
    env = os.environ | {"SLUICE_API_KEY": people.key.secret}
    ran = subprocess.run([*command, code or ""], env=env, capture_output=True, timeout=120)  # noqa: S603 - what the page tells to run

    assert ran.returncode == 0, ran.stderr
    assert b"index" in ran.stdout
    body = engine.state()["last_request_body"]
    assert {**body, "cache_salt": ""} == {**asked, "cache_salt": ""}


def test_texts_are_compared_and_documents_ranked(page: Page, console: str) -> None:
    opened(page, console, "embeddings/", model=READER)
    page.get_by_label("Texts, one a line").fill("a yellow banana\nthe capital\na yellow banana")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("cell", name="1.000").first).to_be_visible()
    expect(page.get_by_text("Cost")).to_be_visible()
    look(page, "playground_embeddings-answered")

    opened(page, console, "rerank/", model=READER)
    page.get_by_label("Query").fill("capital of France")
    page.get_by_label("Documents, one a line").fill(
        "a yellow banana\nParis is the capital of France\nthe capital is money"
    )
    page.get_by_role("button", name="Rank").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("1. Paris is the capital of France")
    look(page, "playground_rerank-answered")


def test_a_recording_is_written_down(page: Page, console: str) -> None:
    opened(page, console, "transcription/", model=LISTENER)
    page.get_by_label("Audio", exact=True).set_input_files(
        {"name": "speech.wav", "mimeType": "audio/wav", "buffer": speech()}
    )
    page.get_by_role("button", name="Transcribe").click()
    expect(page.get_by_text(SAID)).to_be_visible()
    expect(page.get_by_text("€0.008 333 333 333".replace(" ", "\u2009"))).to_be_visible()
    look(page, "playground_transcription-answered")


def test_what_the_playground_used_is_on_the_usage_page(
    page: Page, console: str, people: Cast
) -> None:
    opened(page, console, model=SECOND)
    send(page, "Count me !tokens 5")
    expect(page.locator("#turn-0-0")).to_contain_text("Cost")
    request_id = page.locator("#turn-0-0 code").last.inner_text()

    in_server_sight(book)

    page.goto("/o/acme/usage/?group=api_key&days=7")
    row = page.get_by_role("row", name=re.compile("^Playground"))
    expect(row).to_contain_text("Customer support")
    event = UsageEvent.objects.get(request_id=request_id)
    assert (event.output_tokens, event.api_key.kind) == (5, "playground")
    shown = page.goto(f"{console}/o/acme/playground/")
    assert shown
    assert "Count me" not in shown.text()
