"""Valkey is killed and comes back empty: who has paid ahead is served, to the last cent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import httpx2 as httpx
import pytest

from billing.holds import holds_read, scopes_state
from billing.ingest import ingest
from billing.ledger import prepaid_top_up, wallet_read
from billing.models import Lease, Mode, Spender, Terms, UsageEvent
from console import embedded
from console.embedded import Valkey
from inference import control
from tenants.valkey import client
from tests import fake_vllm
from tests.conftest import make_cast
from tests.inference.gateway.conftest import (
    Running,
    backend_add,
    chat,
    gateway_running,
    model_add,
    wait_until,
)

CHAT: Final = "/v1/chat/completions"
COST: Final = 9 + 200
"""Tokens of a request, at a quarter of an EUR for a million."""
CENT: Final = Decimal("0.01")


class Store:
    """A Valkey of the test's own that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.server = Valkey(folder / "valkey")
        self._running = embedded.Running(self.server)

    def kill(self) -> None:
        self._running._process.kill()
        self._running._process.wait()

    def come_back(self, *, is_empty: bool) -> None:
        if is_empty:
            shutil.rmtree(self.server.data_dir)
        self._running = embedded.Running(self.server)


@dataclass
class Customer:
    """Who has paid ahead; `spent` in EUR, as the answers told."""

    http: httpx.Client
    spent: Decimal = Decimal(0)

    def ask(self) -> httpx.Response:
        answer = self.http.post(CHAT, json=chat(max_tokens=200))
        self.spent += Decimal(answer.headers.get("x-sluice-cost", 0))
        return answer

    def is_served(self) -> bool:
        return self.ask().status_code == 200

    def until_refused(self) -> httpx.Response:
        """The first answer of another status."""
        return wait_until(
            lambda: None if (answer := self.ask()).status_code in {200, 503} else answer,
            timeout_s=30,
        )  # type: ignore[return-value]


@pytest.fixture
def store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest
) -> Iterator[Store]:
    store = Store(tmp_path)
    settings.VALKEY_URL = store.server.url  # type: ignore[attr-defined]
    client.cache_clear()
    yield store
    store.kill()
    client.cache_clear()


@pytest.fixture
def customer(transactional_db: None) -> Customer:
    return Customer(httpx.Client(timeout=20))


@pytest.fixture
def gateway(store: Store, transactional_db: None, customer: Customer) -> Iterator[Running]:
    """Acme has paid a cent."""
    with fake_vllm.running(api_keys=("engine-key",)) as engine:
        cast = make_cast()
        region = control.region_create(
            actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
        )
        model_add("acme/tiny", backend_add(region, "alive", engine.url))
        Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
        prepaid_top_up(actor=None, organization=cast.acme, amount=CENT, reference="one")
        with gateway_running(VALKEY_URL=store.server.url) as running:
            customer.http.base_url = running.url
            customer.http.headers["x-api-key"] = cast.key.secret
            yield running
        customer.http.close()


@pytest.mark.django_db(transaction=True)
def test_prepaid_is_served_without_valkey_to_its_last_cent(
    gateway: Running, store: Store, customer: Customer
) -> None:
    wait_until(customer.is_served)
    store.kill()
    refused = customer.ask()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    wait_until(customer.is_served, timeout_s=10)
    assert Lease.objects.exists()
    refused = customer.until_refused()
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        429,
        "credit_balance_exhausted",
    )
    assert refused.json()["error"]["type"] == "insufficient_quota"
    cost = Decimal(COST) / 4 / 10**6
    assert CENT - cost < customer.spent <= CENT

    store.come_back(is_empty=True)
    wait_until(lambda: not Lease.objects.exists(), timeout_s=20)
    while ingest():
        pass
    acme = Terms.objects.get().organization
    events = UsageEvent.objects.for_organization(acme)
    assert sum(event.amount for event in events) == customer.spent
    assert wallet_read([acme.pk])[acme.pk].balance == CENT - customer.spent
    prepaid_top_up(actor=None, organization=acme, amount=CENT, reference="two")
    assert customer.until_refused().status_code == 429
    assert 2 * CENT - cost < customer.spent <= 2 * CENT
    wait_until(lambda: not holds_read().open)
    while ingest():
        pass
    (wallet,) = scopes_state(acme.pk).values()
    assert (wallet.held, wallet.unposted) == (0, 0)
    assert wallet.balance == (2 * CENT - customer.spent) * 10**9
    assert Spender.objects.count() == 1
