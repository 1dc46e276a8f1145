"""A gateway in front of real vLLM servers. `make test-engines` runs these tests."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import pytest
from anthropic import Anthropic
from django.core.management import call_command
from openai import OpenAI
from pytest_django.plugin import DjangoDbBlocker

from billing.services import rate_set
from inference import control
from inference.models import Model, Region, Task
from tests.conftest import Cast, make_cast
from tests.engines import fleet
from tests.engines.fleet import ANSWER_TIMEOUT_S, Fleet, Vllm
from tests.inference.gateway.conftest import Running, gateway_running

MODEL: Final = "acme/tiny"
EMBEDDER: Final = "acme/minilm"
LISTENER: Final = "acme/whisper"
MODELS: Final = {
    MODEL: (fleet.CHAT, 2048, (Task.CHAT, Task.COMPLETION)),
    EMBEDDER: (fleet.MINILM, 256, (Task.EMBEDDING, Task.RERANK)),
    LISTENER: (fleet.WHISPER, 64, (Task.TRANSCRIPTION, Task.TRANSLATION)),
}
"""By public id: the engine's name for it, its context, its tasks."""
LONELY: Final = "acme/lonely"
"""It has no backend."""
ENGINES_LAST: Final = ("minilm", "whisper", "room")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one server come after another, so that each server starts once."""

    def rank(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return max(
            (1 + ENGINES_LAST.index(name) for name in ENGINES_LAST if name in names), default=0
        )

    items.sort(key=rank)


@pytest.fixture(scope="session")
def engines() -> Iterator[Fleet]:
    running = Fleet()
    yield running
    running.stop()


@pytest.fixture
def vllm(engines: Fleet) -> Vllm:
    """The server of MODEL."""
    return engines.get(fleet.CHAT)


@pytest.fixture
def minilm(engines: Fleet) -> Vllm:
    """The server of EMBEDDER."""
    return engines.get(fleet.MINILM)


@pytest.fixture
def whisper(engines: Fleet) -> Vllm:
    """The server of LISTENER."""
    return engines.get(fleet.WHISPER)


@pytest.fixture
def room(engines: Fleet) -> None:
    """For a server that a test starts by itself."""
    engines.make_room()


@pytest.fixture(scope="package")
def cast(
    engines: Fleet, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Cast]:
    """Committed once, since the gateway reads it, and gone after these tests."""
    with django_db_blocker.unblock():
        people = make_cast()
        region = control.region_create(
            actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
        )
        for public_id in MODELS:
            _deploy(_model(public_id), engines, region)
        _model(LONELY)
        yield people
        call_command("flush", interactive=False, verbosity=0)


def _model(public_id: str) -> Model:
    name, context_tokens, tasks = MODELS.get(public_id) or MODELS[MODEL]
    model = control.model_create(
        actor=None, public_id=public_id, name=name, tasks=tasks, context_tokens=context_tokens,
        owned_by="Acme",
    )  # fmt: skip
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal("0.25"))
    return control.model_set_enabled(actor=None, model=model, enabled=True)


def _deploy(model: Model, engines: Fleet, region: Region) -> None:
    name = MODELS[model.public_id][0]
    backend = control.backend_register(
        actor=None, name=name, base_url=engines.url(name), engine="vllm", region=region,
        key=fleet.KEY,
    )  # fmt: skip
    control.model_deploy(actor=None, model=model, backend=backend, engine_model=name)


@pytest.fixture(scope="package")
def gateway(cast: Cast) -> Iterator[Running]:
    with gateway_running() as running:
        yield running


def _client(gateway: Running, key: str) -> OpenAI:
    url = f"{gateway.url}/v1"
    return OpenAI(base_url=url, api_key=key, max_retries=0, timeout=ANSWER_TIMEOUT_S)


@pytest.fixture
def acme(gateway: Running, cast: Cast) -> Iterator[OpenAI]:
    """The SDK with a key of Acme."""
    with _client(gateway, cast.key.secret) as client:
        yield client


@pytest.fixture
def rival(gateway: Running, cast: Cast) -> Iterator[OpenAI]:
    """The SDK with a key of another organization."""
    with _client(gateway, cast.rival_key.secret) as client:
        yield client


@pytest.fixture
def anthropic(gateway: Running, cast: Cast) -> Iterator[Anthropic]:
    """The SDK of Anthropic with a key of Acme."""
    with Anthropic(
        base_url=gateway.url, api_key=cast.key.secret, max_retries=0, timeout=ANSWER_TIMEOUT_S
    ) as client:
        yield client
