"""The models that can be added with a click."""

from __future__ import annotations

import pytest

from inference import cards, control
from inference.catalog import KnownModel, known_models
from inference.models import Capability, Task
from tests.conftest import Cast

ALL = list(known_models().values())


@pytest.mark.parametrize("known", ALL, ids=lambda known: known.id)
def test_a_known_model_can_be_added_as_it_stands(known: KnownModel, cast: Cast) -> None:
    model = control.model_create(
        actor=cast.oskar,
        public_id=known.id,
        name=known.name,
        family=known.family,
        owned_by=known.owned_by,
        tasks=[Task(task) for task in known.tasks],
        capabilities=[Capability(name) for name in known.capabilities],
        context_tokens=known.context_tokens,
        description=known.description,
        licence=known.licence,
        licence_url=known.licence_url,
        source_url=known.source_url,
        release_date=known.release_date,
        card=known.card,
    )
    assert model.card == known.card, "no text has a name that cards do not know"


def test_the_families_that_customers_ask_for_are_there() -> None:
    assert {known.family for known in ALL} >= {
        "Mistral", "Llama", "gpt-oss", "Qwen", "Whisper", "BGE", "CLIP",
    }  # fmt: skip
    assert {task for known in ALL for task in known.tasks} == set(Task.values)


def test_what_cannot_be_served_yet_says_why() -> None:
    assert [known.id for known in ALL if known.not_servable] == ["clip-vit-large-patch14"]


def test_a_card_counts_what_it_holds(cast: Cast) -> None:
    model = control.model_create(
        actor=None,
        public_id="bare",
        name="Bare",
        owned_by="Acme",
        tasks=[Task.CHAT],
        context_tokens=2048,
        card={"evaluation": " 42 % ", "unheard_of": "gone"},
    )
    card = cards.card_read(model)
    assert (card.filled, card.total, card.is_complete) == (4, 17, False)
    assert model.card == {"evaluation": "42 %"}
