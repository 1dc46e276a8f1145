"""Where requests go: sessions stay, regions hold, and what is ill or drained is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import uuid4

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.plugin import DjangoDbBlocker

from inference import control
from inference.gateway.errors import NoCapacity, RegionUnavailable
from inference.gateway.fleet import Fleet
from inference.gateway.routing import Router
from inference.models import Backend, BackendState, Model, Region
from inference.routing.choice import Decision
from inference.snapshot import KeyEntry, ModelEntry
from tenants import services
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import (
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
    record_of,
    wait_until,
)
from tests.inference.gateway.fleets import route_to
from tests.inference.gateway.raw_backend import BEFORE, RawBackend, raw_backend_running

pytestmark = pytest.mark.django_db

type Commit = Callable[[Callable[[], object]], object]

CHAT: Final = "/v1/chat/completions"
EVEN: Final = "route/even"
LIKE_ANY: Final = "route/like-any"
"""As EVEN, without affinity."""
UNEVEN: Final = "route/uneven"
HALF_ILL: Final = "route/half-ill"
MIXED: Final = "route/mixed"
"""Its backend at home has little weight, the one abroad has much."""
ABROAD: Final = "route/abroad"
GONE_AT_HOME: Final = "route/gone-at-home"
LONG: Final = "You are a careful clerk who answers in one word. " * 100


@dataclass(frozen=True)
class Routed:
    """A gateway before three backends that are one engine, one that is ill and one abroad."""

    gateway: Running
    http: httpx.Client
    """Of an organization that may go anywhere."""
    at_home: httpx.Client
    """Of one that may not go abroad."""
    ill: RawBackend
    abroad: RawBackend


@pytest.fixture(scope="module")
def routed(world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[Routed]:
    with ExitStack() as stack, django_db_blocker.unblock():
        ill = stack.enter_context(raw_backend_running(BEFORE["closed at once"]))
        abroad = stack.enter_context(raw_backend_running(BEFORE["closed at once"]))
        stack.callback(_forget, world)
        _models(world, ill.url, abroad.url)
        gateway = stack.enter_context(gateway_running(GATEWAY_CONNECT_TIMEOUT_S="2"))
        http = stack.enter_context(client_of(gateway, world.cast.key.secret))
        at_home = stack.enter_context(client_of(gateway, world.cast.rival_key.secret))
        yield Routed(gateway, http, at_home, ill, abroad)


def _models(world: World, ill: str, abroad: str) -> None:
    home, url = world.backend.region, world.engine.url
    equals = [backend_add(home, name, url) for name in ("route-a", "route-b", "route-c")]
    heavy = backend_add(home, "route-heavy", url, weight=3)
    sick = backend_add(home, "route-ill", ill)
    gone = backend_add(home, "route-gone", f"http://127.0.0.1:{free_port()}")
    there = control.region_create(
        actor=None, code="us-east", site="Ashburn", country="US", jurisdiction="US"
    )
    away = backend_add(there, "route-abroad", abroad, weight=100)
    model_add(EVEN, *equals)
    control.model_set_routing(actor=None, model=model_add(LIKE_ANY, *equals), has_affinity=False)
    model_add(UNEVEN, equals[0], heavy)
    model_add(HALF_ILL, equals[0], sick)
    model_add(MIXED, equals[0], away)
    model_add(ABROAD, away)
    model_add(GONE_AT_HOME, gone, away)
    services.organization_set_regions(
        actor=None, organization=world.cast.rival, regions=[home.code]
    )


def _forget(world: World) -> None:
    services.organization_set_regions(actor=None, organization=world.cast.rival, regions=[])
    Model.objects.filter(public_id__startswith="route/").delete()
    Backend.objects.filter(name__startswith="route-").delete()
    Region.objects.filter(code="us-east").delete()


def client_of(gateway: Running, secret: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.Client(base_url=gateway.url, headers=headers, timeout=20)


def backend_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return record_of(answer).backend


def asked(
    http: httpx.Client, model: str, *, headers: Mapping[str, str] | None = None, **fields: Any
) -> str:
    """The backend that answers a chat."""
    body = chat(max_tokens=1) | {"model": model} | fields
    return backend_of(http.post(CHAT, json=body, headers=headers))


def session(name: object) -> dict[str, str]:
    return {"X-Session-Id": f"session {name}"}


def test_sessions_stay_on_their_backends_and_all_backends_have_some(routed: Routed) -> None:
    found = {
        name: {asked(routed.http, EVEN, headers=session(name)) for _ in range(3)}
        for name in range(12)
    }
    assert all(len(backends) == 1 for backends in found.values()), found
    assert set.union(*found.values()) == {"route-a", "route-b", "route-c"}


def _messages(system: str, n: int) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": f"Hello {n}"}]


ALIKE: Final[Mapping[str, tuple[str, Mapping[str, str], dict[str, Any]]]] = {
    "X-Session-Id": (CHAT, session("one"), {}),
    "X-Claude-Code-Session-Id": (CHAT, {"X-Claude-Code-Session-Id": "one"}, {}),
    "prompt_cache_key": (CHAT, {}, {"prompt_cache_key": "one"}),
    "user": (CHAT, {}, {"user": "one"}),
    "a long system prompt": (CHAT, {}, {"messages": _messages(LONG, 1)}),
    "a prompt": ("/v1/completions", {}, {"prompt": LONG}),
    "token ids": ("/v1/completions", {}, {"prompt": list(range(1000))}),
    "the key of a response": ("/v1/responses", {}, {"input": "Hi", "prompt_cache_key": "one"}),
    "instructions": ("/v1/responses", {}, {"input": "Hi", "instructions": LONG}),
    "metadata": ("/v1/messages", {}, {"metadata": {"user_id": "one"}}),
    "system": ("/v1/messages", {}, {"system": LONG}),
    "blocks": ("/v1/messages", {}, {"system": [{"type": "text", "text": LONG}]}),
}
"""The path, headers and fields of requests that belong together."""


@pytest.mark.parametrize("way", ALIKE)
def test_what_belongs_together_goes_to_one_backend(routed: Routed, way: str) -> None:
    path, headers, fields = ALIKE[way]
    body = {"model": EVEN} | fields
    if path in {CHAT, "/v1/messages"}:
        body = chat() | {"max_tokens": 1} | body
    answers = [routed.http.post(path, json=body, headers=headers) for _ in range(8)]
    assert len({backend_of(answer) for answer in answers}) == 1


@pytest.mark.parametrize(
    "fields",
    [{}, {"model": LIKE_ANY, "user": "one"}, {"messages": _messages("Answer in one word.", 1)}],
)
def test_what_has_little_in_common_goes_anywhere(routed: Routed, fields: dict[str, Any]) -> None:
    backends = {asked(routed.http, **({"model": EVEN} | fields)) for _ in range(30)}
    assert backends == {"route-a", "route-b", "route-c"}


def test_who_is_asked_for_stays_in_the_gateway(routed: Routed, world: World) -> None:
    asked(routed.http, EVEN, user="one", prompt_cache_key="two", headers=session("one"))
    state = world.engine.state()
    assert not {"user", "prompt_cache_key"} & state["last_request_body"].keys()
    assert "x-session-id" not in state["last_request_headers"]


def test_a_key_of_the_wrong_type_is_refused(routed: Routed) -> None:
    answer = routed.http.post(CHAT, json=chat(prompt_cache_key=7) | {"model": EVEN})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt_cache_key")


def test_a_heavier_backend_has_more_sessions(routed: Routed) -> None:
    found = Counter(asked(routed.http, UNEVEN, headers=session(n)) for n in range(60))
    assert 30 < found["route-heavy"] < 60


def test_what_drains_loses_its_sessions_and_no_other_moves(routed: Routed, commit: Commit) -> None:
    names = range(10)

    def owners() -> dict[int, str]:
        return {name: asked(routed.http, EVEN, headers=session(name)) for name in names}

    before = owners()
    leaving = before[0]
    commit(lambda: set_state(leaving, BackendState.DRAINING))
    try:
        wait_until(lambda: asked(routed.http, EVEN, headers=session(0)) != leaving)
        after = owners()
    finally:
        commit(lambda: set_state(leaving, BackendState.ACTIVE))
    assert leaving not in after.values()
    assert all(after[n] == before[n] for n in names if before[n] != leaving)
    wait_until(lambda: owners() == before)


def set_state(name: str, state: BackendState) -> None:
    row = Backend.objects.get(name=name)
    control.backend_set_state(actor=None, backend=row, state=state)


def test_one_that_is_ill_is_left_alone_and_clients_notice_nothing(routed: Routed) -> None:
    for _ in range(40):
        assert asked(routed.http, HALF_ILL) == "route-a"
    assert 1 <= routed.ill.asked <= 5, "its breaker opened"


def test_what_may_not_go_abroad_is_answered_at_home(routed: Routed) -> None:
    for n in range(10):
        answer = routed.at_home.post(CHAT, json=chat() | {"model": MIXED}, headers=session(n))
        assert (backend_of(answer), answer.headers["x-sluice-region"]) == ("route-a", "se-north")
        assert record_of(answer).region == "se-north"
    assert routed.abroad.asked == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [ABROAD, GONE_AT_HOME])
def test_with_only_a_foreign_backend_alive_nothing_is_sent_there(
    routed: Routed, model: str, stream: bool
) -> None:
    answer = routed.at_home.post(CHAT, json=chat(stream=stream) | {"model": model})
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "region_unavailable"
    assert answer.headers["retry-after"]
    assert routed.abroad.asked == 0


def test_messages_are_told_so_in_their_own_shape(routed: Routed) -> None:
    body = chat(max_tokens=1) | {"model": ABROAD}
    answer = routed.at_home.post("/v1/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded_error")
    assert routed.abroad.asked == 0


def test_who_may_go_anywhere_is_sent_abroad(routed: Routed) -> None:
    """So it is the policy that held the others back."""
    before = routed.abroad.asked
    answer = routed.http.post(CHAT, json=chat() | {"model": ABROAD})
    assert answer.status_code == 502
    assert routed.abroad.asked > before
    routed.abroad.asked = before


REGIONS: Final = ("se", "no", "us")
ROUTES: Final = tuple(replace(route_to(f"{r}-{n}"), region=r) for r in REGIONS for n in range(2))

subsets = st.lists(st.sampled_from(ROUTES), unique_by=id)


@given(subsets, subsets, st.none() | st.frozensets(st.sampled_from(REGIONS), min_size=1))
def test_whatever_was_tried_no_request_leaves_its_regions(
    routes: list[Any], tried: list[Any], regions: frozenset[str] | None
) -> None:
    model = cast("ModelEntry", SimpleNamespace(routes=tuple(routes)))
    key = KeyEntry(uuid4(), uuid4(), uuid4(), regions)
    left = [one for one in routes if one not in tried]
    allowed = [one for one in left if regions is None or one.region in regions]

    def choose() -> Decision:
        return Router(Fleet()).choose(model, key, None, {one.backend_id for one in tried})

    if allowed:
        assert choose().route in allowed
        return
    with pytest.raises(RegionUnavailable if left else NoCapacity) as refused:
        choose()
    assert refused.value.headers["Retry-After"]
