"""The card of a model: what Annex XII of the AI Act wants told of it, and what else helps.

Some of it are facts that a model has anyway; the rest are texts, kept in `Model.card` by name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from inference.models import Model


class CardField(NamedTuple):
    """A text of the card. `point` is its place in Annex XII, empty for what is beyond it."""

    name: str
    label: str | Promise
    point: str = ""


TEXTS: Final = (
    CardField("intended_use", _("Intended use"), "1(a)"),
    CardField("acceptable_use", _("Acceptable use policy"), "1(b)"),
    CardField("distribution", _("Distribution"), "1(c)"),
    CardField("integration", _("Integration with hardware and software"), "1(d), 2(a)"),
    CardField("software", _("Versions of software"), "1(e)"),
    CardField("architecture", _("Architecture and parameters"), "1(f)"),
    CardField("modalities", _("Input and output"), "1(g), 2(b)"),
    CardField("training_process", _("Training"), "2"),
    CardField("training_data", _("Training data"), "2(c)"),
    CardField("compute", _("Compute and energy")),
    CardField("evaluation", _("Evaluation")),
    CardField("limitations", _("Known limits")),
)
FACTS: Final = ("owned_by", "tasks", "release_date", "licence", "context_tokens")
"""What the card takes from the model itself."""


class Card(NamedTuple):
    """A card as read: its texts, those that are missing with an empty one."""

    texts: list[tuple[CardField, str]]
    filled: int
    total: int

    @property
    def is_complete(self) -> bool:
        return self.filled == self.total


def card_read(model: Model) -> Card:
    texts = [(field, str(model.card.get(field.name, ""))) for field in TEXTS]
    filled = sum(bool(text) for _field, text in texts)
    filled += sum(bool(getattr(model, name)) for name in FACTS)
    return Card(texts, filled, len(TEXTS) + len(FACTS))
