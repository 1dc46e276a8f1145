"""Limits and budgets as customers meet them: a gateway as it is run, Valkey and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final
from uuid import UUID

import httpx2 as httpx
import pytest
from django.db import transaction
from openai import OpenAI, RateLimitError

from billing.holds import holds_read, scopes_state
from billing.models import (
    LIST_EUR,
    Budget,
    Component,
    Limit,
    LimitKind,
    Period,
    PriceBook,
    Terms,
)
from billing.price_books import list_book, price_book_create
from billing.services import rate_set
from tenants import services
from tenants.models import ApiKey, Project
from tenants.valkey import client as valkey
from tenants.valkey import snapshot_changed
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    MODEL,
    READER,
    Running,
    World,
    chat,
    record_of,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"
NANO: Final = 10**9
TOKEN_NANO: Final = 250
"""Of each token: 0.25 EUR for a million."""
_numbers: Final = count()


class Tenant:
    """An organization of the test's own, with one key; whatever is set counts when this returns."""

    def __init__(self, commit: Callable[[Callable[[], Any]], Any], world: World, url: str) -> None:
        self._commit, self._world, self._url = commit, world, url
        self.project, self.key, self.secret = commit(self._made)
        self.organization_id: UUID = self.project.organization_id
        self.http = httpx.Client(base_url=url, headers={"x-api-key": self.secret}, timeout=20)

    def take_new_key(self) -> None:
        """Ask with another key from here on: what knows it knows all that was set before."""
        cast, project = self._world.cast, self.project
        made = self._commit(
            lambda: services.api_key_create(actor=cast.oskar, project=project, name="new")
        )
        self.http.headers["x-api-key"] = made.secret
        wait_until(lambda: self.http.get("/v1/models").status_code == 200)

    def _made(self) -> tuple[Project, ApiKey, str]:
        number, cast = next(_numbers), self._world.cast
        organization = services.organization_create(
            actor=cast.oskar, name=f"Tenant {number}", slug=f"tenant-{number}"
        )
        project = services.project_create(
            actor=cast.oskar, organization=organization, name="Search"
        )
        key = services.api_key_create(actor=cast.oskar, project=project, name="ci")
        return project, key.api_key, key.secret

    def set(self, *rows: Limit | Budget) -> None:
        def save() -> None:
            for row in rows:
                row.organization_id = self.organization_id
                row.save()
            snapshot_changed()

        self._commit(save)

    def limit(self, kind: LimitKind, value: int, **scope: Any) -> None:
        self.set(Limit(kind=kind, value=value, **scope))

    def budget(self, amount: str, **scope: Any) -> None:
        self.set(Budget(amount=Decimal(amount), period=Period.MONTH, **scope))

    def until_limited(self) -> None:
        """Until the gateway knows of a limit of requests or tokens."""
        wait_until(lambda: any("ratelimit" in name for name in self.ask().headers))

    def ask(self, text: str = "Hello", **fields: Any) -> httpx.Response:
        return self.http.post(CHAT, json=chat(text, **{"max_tokens": 4} | fields))

    def until_known(self) -> None:
        wait_until(lambda: self.http.get("/v1/models").status_code == 200)

    def pays_twice(self) -> PriceBook:
        """A book of its own, in which MODEL costs twice as much."""
        with transaction.atomic():
            made = price_book_create(
                actor=None, slug=f"twice-{next(_numbers)}", name="Twice", parent=list_book()
            )
            for component in (Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT):
                price = Decimal("0.5")
                rate_set(actor=None, model=MODEL, component=component, price=price, book=made)
            Terms.objects.create(organization_id=self.organization_id, book=made)
        snapshot_changed()
        return made

    @property
    def spent_nano(self) -> int:
        own = [r for r in records() if r.organization_id == self.organization_id]
        return sum(record.amount_nano or 0 for record in own)

    def at_rest(self) -> None:
        wait_until(lambda: not holds_read().open)


@pytest.fixture
def tenant(
    world: World, gateway: Running, commit: Callable[[Callable[[], Any]], Any]
) -> Iterator[Tenant]:
    made = Tenant(commit, world, gateway.url)
    yield made
    made.http.close()


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json()["error"]["code"]


def test_requests_of_a_minute_are_counted_and_told(tenant: Tenant) -> None:
    tenant.limit(LimitKind.REQUESTS_MINUTE, 3, api_key=tenant.key)
    wait_until(lambda: tenant.ask().headers.get("x-ratelimit-limit-requests") == "3")
    left = [tenant.ask() for _ in range(5)]
    answered = [answer for answer in left if answer.status_code == 200]
    refused = left[-1]
    assert len(answered) <= 2
    assert code_of(refused) == (429, "rate_limit_exceeded")
    assert "3 requests per minute (key ci)" in refused.json()["error"]["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-ratelimit-limit-tokens" not in refused.headers


@pytest.mark.parametrize(
    ("text", "fields", "status"),
    [
        ("Hello", {"max_tokens": 100_000}, 400),
        ("!status 422", {}, 502),
        ("!garbage", {}, 502),
        ("!status 500", {"stream": True}, 502),
        ("!status 503", {}, 503),
    ],
)
def test_what_an_engine_refuses_or_fails_tells_of_limits_and_place(
    tenant: Tenant, text: str, fields: dict[str, Any], status: int
) -> None:
    tenant.limit(LimitKind.REQUESTS_MINUTE, 10_000)
    tenant.until_limited()
    answer = tenant.ask(text, **fields)
    assert answer.status_code == status
    assert answer.headers["x-ratelimit-limit-requests"] == "10000"
    assert int(answer.headers["x-ratelimit-remaining-requests"]) < 10_000
    assert answer.headers["x-sluice-region"] == "se-north"
    assert answer.headers["x-request-id"]


def test_a_refusal_is_counted_for_the_operator(tenant: Tenant) -> None:
    tenant.limit(LimitKind.REQUESTS_DAY, 1)
    wait_until(lambda: tenant.ask().status_code == 429)

    def counted() -> int:
        key = f"limited:{datetime.now(UTC):%Y%m%d%H}"
        return int(valkey().hget(key, f"{tenant.organization_id.hex}|o") or 0)

    assert wait_until(counted) >= 1


def test_a_day_is_full_until_its_end(tenant: Tenant) -> None:
    tenant.limit(LimitKind.REQUESTS_DAY, 2, project=tenant.project)
    refused = wait_until(lambda: (a := tenant.ask()).status_code == 429 and a)
    assert refused
    assert "2 requests per day (project Search)" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) <= 86_400


def test_tokens_that_were_asked_for_and_not_used_come_back(tenant: Tenant) -> None:
    tenant.limit(LimitKind.TOKENS_MINUTE, 3000, model=MODEL)
    wait_until(lambda: tenant.ask().headers.get("x-ratelimit-limit-tokens") == "3000")
    tenant.at_rest()
    first = tenant.ask("!tokens 1", max_tokens=2000)
    assert int(first.headers["x-ratelimit-remaining-tokens"]) <= 1000
    tenant.at_rest()
    assert tenant.ask("!tokens 1", max_tokens=2000).status_code == 200


def test_what_a_request_used_more_than_usual_is_waited_for(tenant: Tenant) -> None:
    tenant.limit(LimitKind.TOKENS_MINUTE, 60)
    wait_until(lambda: "x-ratelimit-limit-tokens" in tenant.ask().headers)
    wait_until(lambda: tenant.ask(" ".join("x" * 200)).status_code == 200, timeout_s=30)
    refused = tenant.ask(max_tokens=1)
    assert code_of(refused) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 60


def test_requests_at_the_same_time_have_a_limit_and_give_it_back(
    tenant: Tenant, engine: FakeVllm
) -> None:
    tenant.limit(LimitKind.STREAMS, 2)
    tenant.limit(LimitKind.REQUESTS_MINUTE, 10_000)
    tenant.until_limited()
    tenant.at_rest()
    body = chat("!stall 1", stream=True)
    with ExitStack() as open_:
        streams = [open_.enter_context(tenant.http.stream("POST", CHAT, json=body)) for _ in "12"]
        lines = [stream.iter_lines() for stream in streams]
        assert [next(one)[:7] for one in lines] == ["data: {"] * 2
        refused = tenant.ask()
        assert code_of(refused) == (429, "rate_limit_exceeded")
        assert "2 requests at the same time" in refused.json()["error"]["message"]
    wait_until(lambda: tenant.ask().status_code == 200)
    engine.wait_for(running=0)


def test_a_request_pays_the_prices_of_its_admission(
    tenant: Tenant, commit: Callable[[Callable[[], Any]], Any]
) -> None:
    tenant.until_known()
    body = chat("!stall 1", stream=True)
    with tenant.http.stream("POST", CHAT, json=body) as begun:
        assert next(begun.iter_lines()).startswith("data: {")
        dearer = commit(tenant.pays_twice)
        tenant.take_new_key()
    before, after = record_of(begun), record_of(tenant.ask())
    assert (before.book, after.book) == (LIST_EUR, dearer.pk)
    for record, token_nano in ((before, TOKEN_NANO), (after, 2 * TOKEN_NANO)):
        assert record.amount_nano == token_nano * (record.input_tokens + record.output_tokens) > 0
    shown = tenant.http.get(f"/v1/models/{MODEL}").json()["prices"]
    assert (shown["currency"], shown["output"]["price"]) == ("EUR", "0.5")


def test_a_limit_of_one_model_leaves_the_others(tenant: Tenant) -> None:
    tenant.limit(LimitKind.REQUESTS_DAY, 1, model=MODEL)
    wait_until(lambda: tenant.ask().status_code == 429)
    body = {"model": READER, "input": "Hello"}
    assert tenant.http.post("/v1/embeddings", json=body).status_code == 200


def test_sdks_know_what_they_are_told(tenant: Tenant, gateway: Running) -> None:
    tenant.limit(LimitKind.REQUESTS_DAY, 1)
    wait_until(lambda: tenant.ask().status_code == 429)
    base = f"{gateway.url}/v1"
    client = OpenAI(base_url=base, api_key=tenant.secret, max_retries=0)
    with client, pytest.raises(RateLimitError) as told:
        client.chat.completions.create(**chat())
    assert (told.value.code, told.value.type) == ("rate_limit_exceeded", "rate_limit_exceeded")


def test_counting_tokens_is_free_and_lets_its_hold_go(tenant: Tenant) -> None:
    tenant.limit(LimitKind.STREAMS, 1)
    tenant.until_known()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(3):
        assert tenant.http.post("/v1/messages/count_tokens", json=body).status_code == 200
        tenant.at_rest()
    assert tenant.spent_nano == 0


def test_a_budget_is_used_to_the_last_affordable_request_and_never_passed(tenant: Tenant) -> None:
    budget, cost = int(0.01 * NANO), (9 + 200) * TOKEN_NANO
    tenant.budget("0.01")
    tenant.take_new_key()

    def ask(_: int) -> int:
        return tenant.ask(max_tokens=200).status_code

    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(ask, range(500)))
    assert set(statuses) == {200, 429}
    while ask(0) == 200:  # what was held by others when all asked at once
        pass
    tenant.at_rest()
    assert budget - cost < tenant.spent_nano <= budget
    scope = _scopes(tenant)[0]
    assert (scope.held, scope.balance - scope.unposted) == (0, budget - tenant.spent_nano)


def test_a_used_up_budget_says_so(tenant: Tenant, gateway: Running) -> None:
    tenant.budget("0.01", api_key=tenant.key)
    refused = wait_until(lambda: (a := tenant.ask(max_tokens=2000, n=8)).status_code == 429 and a)
    assert refused
    assert code_of(refused) == (429, "api_key_spend_limit_exceeded")
    assert refused.json()["error"]["type"] == "insufficient_quota"
    assert "retry-after" not in refused.headers
    body = {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": "x"}]}

    def told() -> httpx.Response | None:
        answer = tenant.http.post("/v1/messages", json=body)
        return answer if answer.status_code == 429 else None

    message = wait_until(told).json()  # type: ignore[union-attr]
    assert (message["type"], message["error"]["type"]) == ("error", "billing_error")
    assert tenant.http.get("/v1/models").status_code == 200


def _scopes(tenant: Tenant) -> list[Any]:
    return list(scopes_state(tenant.organization_id).values())


def test_an_answer_says_what_it_cost(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat(max_tokens=4))
    assert answer.headers["x-sluice-cost"] == "0.000003250"  # 13 tokens
