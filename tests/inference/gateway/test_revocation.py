"""How soon a revoked key is refused by every gateway, and what becomes of what runs with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple

import httpx2 as httpx
import pytest
from django.utils import timezone

from billing.models import Outcome
from tenants import services
from tenants.models import ApiKey
from tenants.services import NewKey
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    Running,
    World,
    chat,
    gateway_running,
    record_of,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"

type Commit = Callable[[Callable[[], object]], object]


@pytest.fixture(scope="module")
def gateways(gateway: Running) -> Iterator[list[Running]]:
    """Two: the first knows only what it is told, the second looks at the keys once a second too."""
    with gateway_running(SNAPSHOT_MAX_AGE_S="1") as other:
        yield [gateway, other]


@pytest.fixture
def new(gateways: list[Running], world: World, commit: Commit) -> NewKey:
    """A key that both gateways know."""
    project = world.cast.project
    made: Any = commit(
        lambda: services.api_key_create(actor=None, project=project, name="short-lived")
    )
    for one in gateways:
        wait_until(lambda one=one: status_of(one, made.secret) == 200)  # type: ignore[misc]
    return NewKey(*made)


def status_of(gateway: Running, secret: str) -> int:
    return httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": secret}).status_code


class Begun(NamedTuple):
    answer: httpx.Response
    lines: Iterator[str]


@contextmanager
def begun(gateway: Running, secret: str) -> Iterator[Begun]:
    """A stream that has four tokens and waits for more."""
    body, headers = chat("!stall 4", max_tokens=9, stream=True), {"x-api-key": secret}
    with httpx.stream("POST", gateway.url + CHAT, json=body, headers=headers) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for _ in range(5):
            next(lines)
        yield Begun(answer, lines)


def revoke(commit: Commit, new: NewKey) -> None:
    commit(lambda: services.api_key_revoke(actor=None, api_key=new.api_key))


def test_every_gateway_refuses_a_revoked_key_at_once(
    gateways: list[Running], new: NewKey, commit: Commit
) -> None:
    revoke(commit, new)
    for one in gateways:
        wait_until(lambda one=one: status_of(one, new.secret) == 401)  # type: ignore[misc]


def test_running_streams_of_a_revoked_key_are_cut_and_billed_up_to_there(
    gateways: list[Running], new: NewKey, commit: Commit, engine: FakeVllm, key: str
) -> None:
    engine.wait_for(running=0)
    with ExitStack() as stack:
        streams = [stack.enter_context(begun(one, new.secret)) for one in gateways]
        other = stack.enter_context(begun(gateways[0], key))
        revoke(commit, new)
        ends = [list(stream.lines)[-1] for stream in streams]
        assert engine.wait_for(running=1)  # of another key
    assert other.answer.status_code == 200
    for end in ends:
        error = json.loads(end.removeprefix("data: "))["error"]
        assert error["code"] == "invalid_api_key"
        assert "revoked while this request ran" in error["message"]
    engine.wait_for(running=0)
    for stream in streams:
        record = record_of(stream.answer)
        assert record.outcome == Outcome.CLIENT_DISCONNECT
        assert (record.input_tokens, record.output_tokens) == (10, 4)
        assert record.amount_nano


def test_a_key_is_refused_by_age_when_nothing_is_announced(
    gateways: list[Running], new: NewKey, commit: Commit
) -> None:
    found = ApiKey.objects.filter(pk=new.api_key.pk)
    commit(lambda: found.update(revoked_at=timezone.now()))
    wait_until(lambda: status_of(gateways[1], new.secret) == 401)


def test_a_stream_goes_on_past_the_end_of_its_key(
    gateways: list[Running], world: World, commit: Commit
) -> None:
    """Whoever was let in is served: only a key that was taken away ends what runs."""
    gateway, ends_at = gateways[1], timezone.now() + timedelta(seconds=4)
    new: Any = commit(
        lambda: services.api_key_create(
            actor=None, project=world.cast.project, name="short", expires_at=ends_at
        )
    )
    wait_until(lambda: status_of(gateway, new.secret) == 200)
    body = chat("!delay 300", max_tokens=16, stream=True)
    answer = httpx.post(gateway.url + CHAT, json=body, headers={"x-api-key": new.secret})
    assert status_of(gateway, new.secret) == 401
    assert "[DONE]" in answer.text


def test_a_stopped_organization_is_refused_at_once_and_let_go_on(
    gateways: list[Running], world: World, commit: Commit, engine: FakeVllm, key: str
) -> None:
    engine.wait_for(running=0)
    acme, oskar = world.cast.acme, world.cast.oskar
    with begun(gateways[0], key) as stream:
        commit(
            lambda: services.organization_suspend(actor=oskar, organization=acme, reason="unpaid")
        )
        try:
            for one in gateways:
                wait_until(lambda one=one: status_of(one, key) == 403)  # type: ignore[misc]
            assert "stopped" in list(stream.lines)[-1]
            refused = httpx.post(gateways[0].url + CHAT, json={}, headers={"x-api-key": key})
            error = refused.json()["error"]
            assert (refused.status_code, error["type"]) == (403, "invalid_request_error")
            assert error["code"] == "organization_suspended"
        finally:
            commit(lambda: services.organization_lift(actor=oskar, organization=acme))
    for one in gateways:
        wait_until(lambda one=one: status_of(one, key) == 200)  # type: ignore[misc]


def test_the_keys_of_an_archived_project_and_service_account_are_refused(
    gateways: list[Running], world: World, commit: Commit
) -> None:
    owner = world.cast.olivia
    project: Any = commit(
        lambda: services.project_create(
            actor=owner, organization=world.cast.acme, name="to archive"
        )
    )
    account: Any = commit(
        lambda: services.service_account_create(actor=owner, project=project, name="ci")
    )
    new: Any = commit(
        lambda: services.api_key_create(
            actor=owner, project=project, name="of ci", service_account=account
        )
    )

    def is_answered(status: int) -> None:
        for one in gateways:
            wait_until(lambda one=one: status_of(one, new.secret) == status)  # type: ignore[misc]

    is_answered(200)
    commit(lambda: services.project_archive(actor=owner, project=project))
    is_answered(401)
    commit(lambda: services.project_restore(actor=owner, project=project))
    is_answered(200)
    commit(lambda: services.service_account_archive(actor=owner, service_account=account))
    is_answered(401)
