"""The models, prices and backends of the demo data. No engine is behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import QuerySet

from billing.models import Currency, Rate
from billing.price_books import list_book
from billing.services import rate_set
from inference import control
from inference.costs import backend_cost_set
from inference.models import Backend, BackendState, Capability, Engine, Model, Region, Task
from tenants.models import User

PLACES: Final = (
    ("se-lulea", "Luleå", "SE"),
    ("se-stockholm", "Stockholm", "SE"),
    ("fi-kajaani", "Kajaani", "FI"),
    ("de-frankfurt", "Frankfurt", "DE"),
)
HOURLY: Final = (Decimal("2.1"), Decimal("2.6"), Decimal("1.9"), Decimal("3.2"))
"""EUR that an hour of the backend at each place costs."""
CROWNS: Final = 11
"""So much dearer in number is the list in SEK."""
UNREACHABLE: Final = "http://engine.invalid:8000"
CHAT: Final = "chat/completions"
EMBEDDINGS: Final = "embeddings"
RERANK: Final = "rerank"
TRANSCRIPTIONS: Final = "audio/transcriptions"


@dataclass(frozen=True)
class Offer:
    """A model and how it is used. `prices` are EUR in the order of its components.

    `at` are the places of its backends; `input_tokens` and `output_tokens` are medians, of a model
    that listens `input_tokens` are seconds.
    """

    public_id: str
    name: str
    owned_by: str
    prices: tuple[str, ...]
    at: tuple[int, ...]
    input_tokens: int
    output_tokens: int = 0
    ms_per_token: int = 0
    context_tokens: int = 131_072
    endpoint: str = CHAT
    tasks: tuple[Task, ...] = (Task.CHAT,)
    capabilities: tuple[Capability, ...] = ()


TOOLS: Final = (Capability.TOOLS, Capability.JSON_SCHEMA)
OFFERS: Final = (
    Offer("gpt-oss-120b", "gpt-oss 120B", "OpenAI", ("0.15", "0.04", "0.60"), (0, 1, 2, 3),
          1400, 320, 6, capabilities=(*TOOLS, Capability.REASONING)),
    Offer("llama-3.3-70b", "Llama 3.3 70B", "Meta", ("0.55", "0.14", "0.70"), (0, 2, 3),
          1900, 280, 14, capabilities=TOOLS),
    Offer("mistral-small-3.2", "Mistral Small 3.2", "Mistral AI", ("0.10", "0.03", "0.30"), (1, 3),
          1100, 240, 8, capabilities=(*TOOLS, Capability.VISION)),
    Offer("qwen3-coder-30b", "Qwen3 Coder 30B", "Alibaba", ("0.12", "0.02", "0.45"), (0, 1),
          6500, 420, 5, capabilities=TOOLS),
    Offer("qwen3-32b", "Qwen3 32B", "Alibaba", ("0.18", "0.05", "0.55"), (1, 2),
          1500, 500, 9, capabilities=(*TOOLS, Capability.REASONING)),
    Offer("gemma-3-27b", "Gemma 3 27B", "Google", ("0.12", "0.03", "0.25"), (2, 3),
          900, 260, 9, capabilities=(Capability.VISION,)),
    Offer("gpt-oss-20b", "gpt-oss 20B", "OpenAI", ("0.05", "0.01", "0.20"), (0, 1, 2, 3),
          1000, 220, 4, capabilities=TOOLS),
    Offer("deepseek-r1-70b", "DeepSeek R1 70B", "DeepSeek", ("0.60", "0.15", "0.95"), (0,),
          1300, 1400, 15, capabilities=(Capability.REASONING,)),
    Offer("apertus-70b", "Apertus 70B", "Swiss AI", ("0.50", "0.12", "0.80"), (3,),
          1200, 300, 14, 65_536),
    Offer("bge-m3", "BGE M3", "BAAI", ("0.01",), (0, 2), 380, context_tokens=8192,
          endpoint=EMBEDDINGS, tasks=(Task.EMBEDDING,)),
    Offer("bge-reranker-v2-m3", "BGE Reranker v2 M3", "BAAI", ("0.02",), (2,), 2600,
          context_tokens=8192, endpoint=RERANK, tasks=(Task.RERANK,)),
    Offer("whisper-large-v3", "Whisper large v3", "OpenAI", ("0.006",), (1, 3), 45,
          context_tokens=448, endpoint=TRANSCRIPTIONS, tasks=(Task.TRANSCRIPTION,)),
)  # fmt: skip
DEARER_BEFORE: Final = Decimal("1.2")
"""The first model has become cheaper halfway: what it cost before, by its price now."""
DAY: Final = timedelta(days=1)


def fleet_make(actor: User | None, since: datetime, until: datetime) -> list[Offer]:
    """Regions, backends, models with rates from `since` on; those that are there stay.

    The backends are disabled: no gateway asks an engine that is not there.
    """
    backends = [_backend(actor, *place) for place in PLACES]
    for backend, per_hour in zip(backends, HOURLY, strict=True):
        backend_cost_set(actor=actor, backend=backend, per_hour=per_hour, since=since.date())
    for offer in OFFERS:
        if not Model.objects.filter(public_id=offer.public_id).exists():
            _model(actor, offer, [backends[place] for place in offer.at])
    _rates(actor, since, since + (until - since) // DAY // 2 * DAY)
    for model in _ours().filter(is_enabled=False):
        control.model_set_enabled(actor=actor, model=model, enabled=True)
    return list(OFFERS)


def backend_name(code: str) -> str:
    return f"{code}-1"


def _ours() -> QuerySet[Model]:
    return Model.objects.filter(public_id__in=[offer.public_id for offer in OFFERS])


def _backend(actor: User | None, code: str, site: str, country: str) -> Backend:
    if found := Backend.objects.filter(name=backend_name(code)).first():
        return found
    region = Region.objects.filter(code=code).first() or control.region_create(
        actor=actor, code=code, site=site, country=country, jurisdiction="EU"
    )
    made = control.backend_register(
        actor=actor, name=backend_name(code), base_url=UNREACHABLE, engine=Engine.VLLM,
        region=region,
    )  # fmt: skip
    return control.backend_set_state(actor=actor, backend=made, state=BackendState.DISABLED)


def _model(actor: User | None, offer: Offer, backends: Sequence[Backend]) -> None:
    model = control.model_create(
        actor=actor,
        public_id=offer.public_id,
        name=offer.name,
        tasks=offer.tasks,
        capabilities=offer.capabilities,
        context_tokens=offer.context_tokens,
        owned_by=offer.owned_by,
    )
    for backend in backends:
        control.model_deploy(
            actor=actor, model=model, backend=backend, engine_model=offer.public_id
        )


def _rates(actor: User | None, since: datetime, halfway: datetime) -> None:
    priced = set(Rate.objects.values_list("model", flat=True))
    models = {model.public_id: model for model in _ours()}
    for offer in OFFERS:
        if offer.public_id in priced:
            continue
        for component, price in zip(models[offer.public_id].components, offer.prices, strict=True):
            for amount, start, end in _prices(offer, Decimal(price), since, halfway):
                rate_set(
                    actor=actor, model=offer.public_id, component=component, price=amount,
                    valid_from=start, valid_until=end,
                )  # fmt: skip
            rate_set(
                actor=actor, model=offer.public_id, component=component, valid_from=since,
                price=Decimal(price) * CROWNS, book=list_book(Currency.SEK),
            )  # fmt: skip


def _prices(
    offer: Offer, now: Decimal, since: datetime, halfway: datetime
) -> list[tuple[Decimal, datetime, datetime | None]]:
    """What a component costs, since when and until when; the last comes first."""
    if offer is OFFERS[0] and halfway > since:
        return [(now, halfway, None), (now * DEARER_BEFORE, since, halfway)]
    return [(now, since, None)]
