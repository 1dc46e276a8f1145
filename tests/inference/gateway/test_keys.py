"""Who gets in: one key, in any of three headers, and one answer for every bad one."""

from __future__ import annotations

from collections.abc import Callable

import httpx2 as httpx
import pytest

from tenants import services
from tenants.keys import key_mint
from tenants.models import ApiKey
from tenants.tokens import token_mint
from tests.inference.gateway.conftest import Running, World, chat, records, wait_until

pytestmark = pytest.mark.django_db


def get_models(gateway: Running, *headers: tuple[str, str]) -> httpx.Response:
    return httpx.get(f"{gateway.url}/v1/models", headers=httpx.Headers(headers, encoding="utf-8"))


def test_a_key_is_taken_from_any_of_three_headers(gateway: Running, key: str) -> None:
    for header in (
        ("Authorization", f"Bearer {key}"),
        ("authorization", f"bearer  {key}"),
        ("x-api-key", key),
        ("api-key", key),
    ):
        assert get_models(gateway, header).status_code == 200, header


def test_the_same_key_twice_is_fine(gateway: Running, key: str) -> None:
    answer = get_models(gateway, ("Authorization", f"Bearer {key}"), ("x-api-key", key))
    assert answer.status_code == 200


def test_two_different_keys_are_refused(gateway: Running, world: World) -> None:
    keys = (world.cast.key.secret, world.cast.rival_key.secret)
    for headers in (
        [("Authorization", f"Bearer {keys[0]}"), ("x-api-key", keys[1])],
        [("Authorization", f"Bearer {keys[0]}"), ("Authorization", f"Bearer {keys[1]}")],
    ):
        answer = get_models(gateway, *headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "conflicting_credentials"


def test_every_bad_key_gets_the_same_answer(gateway: Running, key: str) -> None:
    forged = key[:-1] + ("a" if key[-1] != "a" else "b")
    bad = [
        [],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {key}")],
        [("Authorization", key)],
        [("Authorization", "Bearer ké-y")],
        [("Authorization", f"Bearer {forged}")],
        [("Authorization", f"Bearer {key_mint()}")],
        [("x-api-key", "sluice_sk_" + "0" * 5000)],
    ]
    answers = [get_models(gateway, *headers) for headers in bad]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1
    error = answers[0].json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert error["param"] is None


def test_without_a_key_no_path_and_no_method_is_told(gateway: Running) -> None:
    for method, path in (("GET", "/v1/nothing"), ("DELETE", "/v1/models"), ("GET", "/v1")):
        assert httpx.request(method, gateway.url + path).status_code == 401


def test_a_new_key_works_and_a_revoked_key_is_refused_at_once(
    gateway: Running, world: World, commit: Callable[[Callable[[], object]], object]
) -> None:
    cast = world.cast
    new = services.NewKey(*commit(lambda: services.api_key_create(  # type: ignore[misc]
        actor=cast.olivia, project=cast.project, name="short-lived"
    )))  # fmt: skip
    header = ("Authorization", f"Bearer {new.secret}")
    wait_until(lambda: get_models(gateway, header).status_code == 200)
    commit(lambda: services.api_key_revoke(actor=cast.olivia, api_key=new.api_key))
    wait_until(lambda: get_models(gateway, header).status_code == 401)


def test_a_refused_key_leaves_no_record(gateway: Running) -> None:
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=chat())
    assert answer.status_code == 401
    assert records() == []


@pytest.fixture
def playground(world: World, commit: Callable[[Callable[[], object]], object]) -> ApiKey:
    """The playground key of Acme's project, known to the gateway."""
    cast = world.cast
    made = commit(lambda: services.playground_key_open(actor=cast.max, project=cast.project))
    assert isinstance(made, ApiKey)
    return made


def test_a_token_of_the_playground_speaks_for_its_project(
    gateway: Running, world: World, playground: ApiKey
) -> None:
    header = ("Authorization", f"Bearer {token_mint(playground.id, world.cast.max.pk)}")
    wait_until(lambda: get_models(gateway, header).status_code == 200)

    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions", json=chat(), headers=httpx.Headers([header])
    )

    assert answer.status_code == 200
    record = wait_until(records)[0]
    assert (record.organization_id, record.project_id, record.api_key_id) == (
        world.cast.acme.pk,
        world.cast.project.pk,
        playground.pk,
    )


def test_every_bad_token_gets_the_answer_of_a_bad_key(
    gateway: Running, world: World, playground: ApiKey
) -> None:
    user, bad_key = world.cast.max.pk, get_models(gateway, ("x-api-key", key_mint()))
    good = token_mint(playground.id, user)
    wait_until(lambda: get_models(gateway, ("x-api-key", good)).status_code == 200)

    for bad in (
        token_mint(playground.id, user, ttl_s=-1),
        token_mint(world.cast.key.api_key.id, user),  # a key with a secret of its own
        token_mint(world.cast.rival_project.id, user),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good[:-4],
        "sluice_pt_",
    ):
        answer = get_models(gateway, ("Authorization", f"Bearer {bad}"))
        assert (answer.status_code, answer.text) == (401, bad_key.text), bad


def test_a_revoked_playground_key_ends_its_tokens(
    gateway: Running, world: World, commit: Callable[[Callable[[], object]], object]
) -> None:
    cast = world.cast
    rival = commit(
        lambda: services.playground_key_open(actor=cast.rita, project=cast.rival_project)
    )
    assert isinstance(rival, ApiKey)
    header = ("Authorization", f"Bearer {token_mint(rival.id, cast.rita.pk)}")
    wait_until(lambda: get_models(gateway, header).status_code == 200)

    commit(lambda: services.api_key_revoke(actor=cast.rita, api_key=rival))

    wait_until(lambda: get_models(gateway, header).status_code == 401)
