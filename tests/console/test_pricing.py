"""The prices that everybody may read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Component
from billing.services import rate_set
from console.offers import OfferGroup
from inference import control
from inference.models import Model, Task
from tests.conftest import Cast
from tests.console.operator.conftest import text_of


def offer(cast: Cast, public_id: str, *tasks: Task, price: str) -> Model:
    """An enabled model whose components all cost the same."""
    model = control.model_create(
        actor=cast.oskar,
        public_id=public_id,
        name=public_id.title(),
        tasks=tasks,
        context_tokens=8_192,
        owned_by="Acme Labs",
        licence="MIT",
    )
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal(price))
    return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)


@pytest.fixture
def models(cast: Cast) -> list[Model]:
    secret = offer(cast, "secret", Task.CHAT, price="9")
    control.model_set_visibility(actor=None, model=secret, organizations=[cast.acme])
    return [
        offer(cast, "tiny", Task.CHAT, price="0.15"),
        offer(cast, "whisper", Task.TRANSCRIPTION, price="0.006"),
    ]


def test_anyone_reads_what_models_for_everyone_cost(client: Client, models: list[Model]) -> None:
    page = text_of(client.get("/pricing/"))
    assert "€0.15" in page
    assert "€0.006" in page
    assert "secret" not in page
    assert "Build" in page  # a plan
    # 12 000 tokens in and 600 out, and an hour of audio.
    assert "€0.001 9" in page
    assert "€0.36" in page


def test_a_model_is_found_by_what_is_said_of_it(client: Client, models: list[Model]) -> None:
    assert [one.title for one in _groups(client, "transcription")] == ["Transcription"]
    assert _groups(client, "gemma") == []
    assert "No model is like this." in text_of(client.get("/pricing/?q=gemma"))


def _groups(client: Client, search: str) -> list[OfferGroup]:
    prices = client.get("/pricing/", {"q": search}).context["prices"]
    return list(prices.groups)


def test_a_price_to_come_is_announced(client: Client, models: list[Model]) -> None:
    rate_set(
        actor=None, model="tiny", component=Component.OUTPUT, price=Decimal("0.2"),
        valid_from=timezone.now() + timedelta(days=30),
    )  # fmt: skip
    page = text_of(client.get("/pricing/"))
    assert "Prices to come" in page
    assert "€0.20" in page


@pytest.mark.django_db
def test_without_models_the_page_says_so_and_the_log_in_leads_to_it(client: Client) -> None:
    assert "No model is offered to everyone yet." in text_of(client.get("/pricing/"))
    assert '<a href="/pricing/">' in text_of(client.get("/account/login/"))
