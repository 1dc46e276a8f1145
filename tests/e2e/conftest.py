"""A browser, and the console with a month of data behind it.

With SCREENSHOTS=folder in the environment, each page is saved there in each look.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer
from pytest_django.plugin import DjangoDbBlocker

from billing.services import rate_set
from inference import control
from inference.models import Backend, Region, Task
from tenants.models import StaffRole, User
from tests import fake_vllm
from tests.conftest import Cast, make_cast
from tests.console.log_in import log_in_freshly, looking_in
from tests.console.reasons import reason_given
from tests.e2e.seed import seed
from tests.e2e.seed_limits import seed_limits, seed_refusals
from tests.e2e.seed_live import seed_live
from tests.e2e.seed_money import seed_money
from tests.e2e.seed_operator_money import seed_operator_money
from tests.e2e.seed_people import seed_people
from tests.inference.gateway.conftest import Running, gateway_running

MODEL: Final = "acme/tiny"
CHROMIUM: Final = "/usr/bin/chromium"
ARGS: Final = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
    "--font-render-hinting=none",
)

expect.set_options(timeout=30_000)  # ms: a busy machine is slow


@dataclass(frozen=True)
class Stage:
    """The cast, in a database that the server's threads see, and the session of each of them."""

    cast: Cast
    sessions: dict[str, str]


@pytest.fixture(scope="package")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    """Committed once for all of these tests, and gone after them."""
    with django_db_blocker.unblock():
        cast = make_cast()
        User.objects.create_user("nora@nowhere.test", name="Nora Ny")
        seed(cast)
        seed_limits(cast)
        seed_money(cast)
        seed_people(cast)
        seed_operator_money(cast)
        yield Stage(
            cast,
            {user.email.partition("@")[0]: session_of(user, cast) for user in User.objects.all()},
        )
        call_command("flush", interactive=False, verbosity=0)


def session_of(user: User, cast: Cast) -> str:
    """It asks nobody who is there again, or an operator why, however long these tests take.

    Support sees Acme as Olivia does.
    """
    client = log_in_freshly(Client(), user, age_s=-3600)
    if user.is_staff:
        reason_given(client, cast.acme)
    if user.staff_role == StaffRole.SUPPORT:
        looking_in(client, cast.acme.memberships.get(user=cast.olivia))
    return client.cookies["sessionid"].value


@pytest.fixture
def live(stage: Stage) -> None:
    """What gateways see just now; Valkey is emptied after each test."""
    seed_live(stage.cast)
    seed_refusals(stage.cast)


@pytest.fixture
def people(stage: Stage) -> Cast:
    return stage.cast


@pytest.fixture(scope="package")
def server(stage: Stage) -> Iterator[LiveServer]:
    live = LiveServer("127.0.0.1")
    live._live_server_modified_settings.enable()
    yield live
    live.stop()
    live._live_server_modified_settings.disable()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium. Playwright's loop runs in this thread, which Django takes for a server's:
    it would refuse to query, and keeps connections of its own, which are closed here.
    """
    if not Path(CHROMIUM).exists():
        pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            yield browser
            browser.close()
            connections.close_all()


class LogIn(Protocol):
    def __call__(self, who: str, *, java_script_enabled: bool = True) -> BrowserContext: ...


@pytest.fixture
def context_of(server: LiveServer, browser: Browser, stage: Stage) -> Iterator[LogIn]:
    """A fresh browser profile in which `who` (the name before the @) is logged in."""
    opened: list[BrowserContext] = []

    def log_in(who: str, *, java_script_enabled: bool = True) -> BrowserContext:
        context = browser.new_context(
            base_url=server.url,
            java_script_enabled=java_script_enabled,
            reduced_motion="reduce",
        )
        opened.append(context)
        if who:
            value = stage.sessions[who]
            context.add_cookies([{"name": "sessionid", "value": value, "url": server.url}])
        return context

    yield log_in
    for context in opened:
        context.close()


@pytest.fixture
def passkey_page(context_of: LogIn, server: LiveServer) -> Page:
    """A browser with a passkey's device in it. Passkeys are for names: not for 127.0.0.1."""
    page = context_of("").new_page()
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    device.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
            }
        },
    )
    page.goto(server.url.replace("127.0.0.1", "localhost") + "/account/login/")
    return page


def in_server_sight(write: Callable[..., object], **fields: object) -> None:
    """Write in a thread, whose connection commits, unlike this test's own."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(write, **fields).result()
        pool.submit(connections.close_all).result()


@pytest.fixture
def gateway(people: Cast) -> Iterator[Running]:
    """A gateway before a fake engine that serves `MODEL`."""
    with fake_vllm.running(api_keys=("engine-key",)) as engine:
        in_server_sight(offer, url=engine.url)
        with gateway_running() as running:
            yield running


def offer(*, url: str) -> None:
    """Once; the engine of the next test is elsewhere."""
    if Backend.objects.filter(name="first-call").update(base_url=url):
        return
    backend = control.backend_register(
        actor=None,
        name="first-call",
        base_url=url,
        engine="vllm",
        region=Region.objects.get(),
        key="engine-key",
    )
    model = control.model_create(
        actor=None,
        public_id=MODEL,
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
    )
    for component in model.components:
        rate_set(actor=None, model=MODEL, component=component, price=Decimal("0.25"))
    control.model_deploy(actor=None, model=model, backend=backend, engine_model="tiny-llama")
    control.model_set_enabled(actor=None, model=model, enabled=True)


def screenshots() -> Path | None:
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder) if folder else None
