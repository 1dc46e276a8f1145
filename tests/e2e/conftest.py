"""A browser, and the console with a month of data behind it.

With SCREENSHOTS=folder in the environment, each page is saved there in each look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from pytest_django.live_server_helper import LiveServer
from pytest_django.plugin import DjangoDbBlocker

from tenants.models import StaffRole, User
from tests.conftest import Cast, make_cast
from tests.console.log_in import log_in_freshly, looking_in
from tests.console.reasons import reason_given
from tests.e2e.seed import seed
from tests.e2e.seed_limits import seed_limits, seed_refusals
from tests.e2e.seed_live import seed_live
from tests.e2e.seed_money import seed_money
from tests.e2e.seed_operator_money import seed_operator_money
from tests.e2e.seed_people import seed_people

CHROMIUM: Final = "/usr/bin/chromium"
ARGS: Final = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
    "--font-render-hinting=none",
)


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
            {user.email.partition("@")[0]: _session(user, cast) for user in User.objects.all()},
        )
        call_command("flush", interactive=False, verbosity=0)


def _session(user: User, cast: Cast) -> str:
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


def screenshots() -> Path | None:
    folder = os.environ.get("SCREENSHOTS")
    return Path(folder) if folder else None
