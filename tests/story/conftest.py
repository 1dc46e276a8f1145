"""A platform of its own: only people are in its database, so the worker does whatever it finds.

Cards are charged by Stripe's double, a process of its own as under `make up`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from typing import Final

import httpx2 as httpx
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer
from pytest_django.plugin import DjangoDbBlocker

from billing import tasks
from billing.models import Component
from billing.services import rate_set
from console.fakestripe import API_KEY, WEBHOOK_SECRET
from inference import control
from tenants.models import User
from tests.conftest import make_cast
from tests.e2e import conftest as browsers
from tests.e2e.conftest import MODEL, Stage, in_server_sight, session_of
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import ROOT, Running, wait_until

START_TIMEOUT_S: Final = 60
PRICES: Final = {Component.INPUT: 1, Component.CACHED_INPUT: 1, Component.OUTPUT: 10_000}
"""EUR per million tokens: a cent for each of an answer, so that credit is used up soon."""

browser, server, people = browsers.browser, browsers.server, browsers.people
context_of, passkey_page = browsers.context_of, browsers.passkey_page
gateway = browsers.gateway


@pytest.fixture(scope="package")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    """The cast, and a region for the engine."""
    with django_db_blocker.unblock():
        cast = make_cast()
        control.region_create(
            actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
        )
        people = User.objects.all()
        yield Stage(cast, {one.email.partition("@")[0]: session_of(one, cast) for one in people})
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def dear(gateway: Running) -> Running:
    """A gateway whose model costs much."""
    in_server_sight(_price)
    return gateway


def _price() -> None:
    for component, price in PRICES.items():
        rate_set(actor=None, model=MODEL, component=component, price=Decimal(price))


@pytest.fixture
def cards(server: LiveServer) -> Iterator[str]:
    """Where Stripe's double listens; the console takes cards there."""
    port = free_port()
    url = f"http://localhost:{port}"
    environment = {
        "FAKESTRIPE_API_KEY": API_KEY,
        "FAKESTRIPE_URL": url,
        "FAKESTRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "FAKESTRIPE_WEBHOOK_URL": f"{server.url}/stripe/webhook/",
    }
    command = [sys.executable, "-m", "console.fakestripe", f"--port={port}"]
    process = subprocess.Popen(command, env=os.environ | environment, cwd=ROOT)  # noqa: S603
    try:
        wait_until(lambda: _answers(f"{url}/health"), START_TIMEOUT_S)
        with override_settings(
            STRIPE_API_KEY=API_KEY,
            STRIPE_API_BASE=url,
            STRIPE_WEBHOOK_SECRETS=[WEBHOOK_SECRET],
            SECURE_CSP=settings.SECURE_CSP | {"form-action": ["'self'", url]},
        ):
            yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def worker(cards: str) -> Iterator[None]:
    """What beat lets a worker do, over and over, beside the test."""
    ends = Event()

    def work() -> None:
        try:
            while not ends.wait(0.1):
                tasks.usage_ingest()
                tasks.payments_work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            ends.set()
            working.result()
