"""What a key may do: tasks, models and networks, for how long, and by which of its secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from anthropic import Anthropic, PermissionDeniedError
from django.utils import timezone

from tenants import keys, services
from tenants.models import AdminKey, ApiKey
from tenants.services import KeyScope, NewKey
from tenants.uses import uses_keep
from tests.inference.gateway.conftest import (
    COMPLETION_ONLY,
    MODEL,
    READER,
    Running,
    World,
    chat,
    gateway_running,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

type Commit = Callable[[Callable[[], object]], object]
type Make = Callable[..., NewKey]
CHAT = "/v1/chat/completions"


@pytest.fixture
def make(gateway: Running, world: World, commit: Commit) -> Make:
    """Makes a key of Acme's, which the gateway knows when it is there."""

    def made(scope: KeyScope = services.EVERYTHING, **facts: Any) -> NewKey:
        project = world.cast.project
        new: Any = commit(
            lambda: services.api_key_create(
                actor=None, project=project, name="scoped", scope=scope, **facts
            )
        )
        wait_until(lambda: status_of(gateway, new.secret) != 401)
        return NewKey(*new)

    return made


def status_of(gateway: Running, secret: str, **headers: str) -> int:
    found = httpx.get(
        f"{gateway.url}/v1/models", headers={"Authorization": f"Bearer {secret}"} | headers
    )
    return found.status_code


def ask(gateway: Running, secret: str, path: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(
        gateway.url + path, json=body, headers={"Authorization": f"Bearer {secret}"} | headers
    )


def error_of(answer: httpx.Response) -> tuple[int, str, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"], error["param"]


def test_a_key_does_only_the_tasks_that_it_may(gateway: Running, make: Make) -> None:
    secret = make(KeyScope(tasks=["embedding", "chat"])).secret

    refused = ask(gateway, secret, "/v1/completions", {"model": MODEL, "prompt": "Hello"})

    assert error_of(refused) == (403, "invalid_request_error", "missing_scope", None)
    assert "Missing scope: `completion`" in refused.json()["error"]["message"]
    assert ask(gateway, secret, CHAT, chat()).status_code == 200
    embedded = ask(gateway, secret, "/v1/embeddings", {"model": READER, "input": "Hello"})
    assert embedded.status_code == 200


def test_a_key_calls_and_sees_only_the_models_that_it_may(gateway: Running, make: Make) -> None:
    secret = make(KeyScope(models=[READER, MODEL])).secret

    refused = ask(gateway, secret, "/v1/completions", {"model": COMPLETION_ONLY, "prompt": "Hi"})

    assert error_of(refused) == (403, "invalid_request_error", "missing_scope", "model")
    assert f"`{COMPLETION_ONLY}`" in refused.json()["error"]["message"]
    assert ask(gateway, secret, CHAT, chat()).status_code == 200
    listed = httpx.get(f"{gateway.url}/v1/models", headers={"api-key": secret}).json()["data"]
    assert {model["id"] for model in listed} == {READER, MODEL}


def test_a_refused_key_leaves_no_record(gateway: Running, make: Make) -> None:
    secret = make(KeyScope(tasks=["embedding"])).secret
    assert ask(gateway, secret, CHAT, chat(stream=True)).status_code == 403
    assert records() == []


def test_a_missing_scope_is_a_permission_error_to_the_anthropic_sdk(
    gateway: Running, make: Make
) -> None:
    secret = make(KeyScope(tasks=["embedding"])).secret
    with (
        Anthropic(base_url=gateway.url, api_key=secret, max_retries=0) as client,
        pytest.raises(PermissionDeniedError, match="Missing scope: `chat`"),
    ):
        client.messages.create(
            model=MODEL, max_tokens=3, messages=[{"role": "user", "content": "Hello"}]
        )


def test_a_key_is_taken_from_its_networks_only(gateway: Running, make: Make) -> None:
    here = make(KeyScope(networks=["127.0.0.0/8", "2001:db8::/32"])).secret
    elsewhere = make(KeyScope(networks=["203.0.113.0/24"])).secret

    assert status_of(gateway, here) == 200
    refused = httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": elsewhere})

    assert error_of(refused) == (403, "invalid_request_error", "ip_not_allowed", None)
    assert "127.0.0.1" in refused.json()["error"]["message"]


def test_what_a_client_says_of_its_address_is_not_believed(gateway: Running, make: Make) -> None:
    secret = make(KeyScope(networks=["203.0.113.0/24"])).secret
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"):
        assert status_of(gateway, secret, **{name: "203.0.113.9"}) == 403


def test_behind_a_trusted_proxy_the_address_that_it_wrote_counts(make: Make) -> None:
    secret = make(KeyScope(networks=["203.0.113.0/24"])).secret
    with gateway_running(TRUSTED_PROXIES="1") as proxied:
        forged = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
        assert status_of(proxied, secret, **forged) == 403
        assert status_of(proxied, secret, **{"X-Forwarded-For": "junk, 203.0.113.9"}) == 200
        assert status_of(proxied, secret) == 403


def test_a_key_ends_to_the_second_without_a_reload(gateway: Running, make: Make) -> None:
    ends_at = timezone.now() + timedelta(seconds=1.5)
    secret = make(expires_at=ends_at).secret

    wait_until(lambda: status_of(gateway, secret) == 401)

    assert time.time() >= ends_at.timestamp()
    refused = ask(gateway, secret, CHAT, chat())
    assert error_of(refused) == (401, "invalid_request_error", "invalid_api_key", None)


def test_both_secrets_work_while_the_old_one_retires(
    gateway: Running, world: World, make: Make, commit: Commit
) -> None:
    old = make(KeyScope(tasks=["chat"]))
    rotated: Any = commit(
        lambda: services.api_key_rotate(
            actor=None, api_key=old.api_key, overlap=timedelta(seconds=6)
        )
    )

    wait_until(lambda: status_of(gateway, rotated.secret) == 200)

    assert status_of(gateway, old.secret) == 200
    body = {"model": MODEL, "prompt": "Hello"}
    for secret in (old.secret, rotated.secret):  # the scope is the key's
        assert ask(gateway, secret, "/v1/completions", body).status_code == 403
    wait_until(lambda: status_of(gateway, old.secret) == 401)
    assert status_of(gateway, rotated.secret) == 200


def test_without_an_overlap_the_old_secret_ends_at_once(
    gateway: Running, make: Make, commit: Commit
) -> None:
    old = make()
    rotated: Any = commit(
        lambda: services.api_key_rotate(actor=None, api_key=old.api_key, overlap=timedelta())
    )
    wait_until(lambda: status_of(gateway, old.secret) == 401)
    wait_until(lambda: status_of(gateway, rotated.secret) == 200)


def test_an_admin_key_calls_no_models(gateway: Running, world: World, commit: Commit) -> None:
    acme = world.cast.acme
    new: Any = commit(
        lambda: services.admin_key_create(
            actor=None, organization=acme, name="ci", may_write=True, expires_at=None
        )
    )
    unknown = keys.key_mint(keys.ADMIN_PREFIX)
    answers = [ask(gateway, secret, CHAT, chat()) for secret in (new.secret, unknown)]

    assert error_of(answers[0]) == (401, "invalid_request_error", "admin_key_not_allowed", None)
    assert answers[0].text == answers[1].text  # that it exists is not told
    assert AdminKey.objects.count() == 1


def test_a_use_is_noted_with_its_minute_and_network(gateway: Running, make: Make) -> None:
    new, began = make(), timezone.now().replace(second=0, microsecond=0)
    ask(gateway, new.secret, CHAT, chat())

    def kept() -> ApiKey | None:
        uses_keep()
        found = ApiKey.objects.get(pk=new.api_key.pk)
        return found if found.last_used_at else None

    api_key = wait_until(kept)
    assert api_key
    assert api_key.last_used_at is not None
    assert began <= api_key.last_used_at <= timezone.now()
    assert api_key.last_network == "127.0.0.0/24"
