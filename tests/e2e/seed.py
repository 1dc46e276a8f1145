"""Numbers as they look after a month of use, so that pages are seen full."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.models import (
    SUMMED,
    Component,
    ModelHalt,
    Outcome,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from billing.pricing import Prices, prices_by_model
from billing.services import rate_set
from inference import control
from inference.catalog import known_models
from inference.models import Backend, Model, ModelStatus, Task
from tenants import services
from tenants.models import ApiKey, Organization
from tests.conftest import Cast
from tests.console.event_rows import ended_all, event_of

COUNTED = ("input_tokens", "cached_tokens", "output_tokens", "audio_seconds")
TEXT, SPEECH = (Task.CHAT, Task.COMPLETION), Task.TRANSCRIPTION
CATALOGUE: tuple[tuple[Any, ...], ...] = (
    ("gpt-oss-120b", "GPT-OSS 120B", "OpenAI", "Apache-2.0", 131_072, "0.15 0.075 0.60", 7000),
    ("llama-3.3-70b", "Llama 3.3 70B", "Meta", "Llama 3.3", 131_072, "0.60 0.30 0.90", 2400),
    ("mistral-small-24b", "Mistral Small", "Mistral", "Apache-2.0", 32_768, "0.10 0.05 0.30", 9000),
    ("qwen3-32b", "Qwen3 32B", "Alibaba", "Apache-2.0", 40_960, "0.20 0.10 0.60", 3100),
    ("gemma-3-27b", "Gemma 3 27B", "Google", "Gemma", 131_072, "0.12 0.06 0.35", 1900),
    ("bge-m3", "BGE-M3", "BAAI", "MIT", 8_192, "0.02", 900, Task.EMBEDDING),
    ("kb-whisper-large", "KB-Whisper", "KBLab", "Apache-2.0", 448, "0.006", 40, SPEECH),
)  # fmt: skip
"""Id, name, maker, licence, context, prices (input, cached, output), requests an hour at noon, and
tasks unless it chats."""


def seed(cast: Cast) -> None:
    """Models on three backends, four keys in two projects, and 30 days of their usage."""
    models = _catalogue(cast)
    _lives()
    keys = _keys(cast)
    prices = prices_by_model(timezone.now())
    hours = UsageHour.objects.bulk_create(
        _hour(model, prices[model.public_id], key, hour, per_hour * share)
        for hour in _hours(30)
        for model, per_hour in models
        for key, share in keys
    )
    UsageDay.objects.bulk_create(_days(hours))
    _requests([(key, model, prices[model.public_id]) for key, _ in keys for model, _ in models])
    ModelHalt.objects.create(model="llama-3.3-70b", reason="no rate for audio_second")
    ApiKey.objects.filter(id__in=[key.id for key, _share in keys]).update(
        last_used_at=timezone.now() - timedelta(seconds=8)
    )


def _catalogue(cast: Cast) -> list[tuple[Model, int]]:
    backends = _backends(cast)
    return [_model(cast, backends[at % 3], *row) for at, row in enumerate(CATALOGUE)]


def _lives() -> None:
    """One model is on its way out, and one is for Acme alone."""
    old, new = (Model.objects.get(public_id=name) for name in ("llama-3.3-70b", "gpt-oss-120b"))
    control.model_set_status(
        actor=None,
        model=old,
        status=ModelStatus.DEPRECATED,
        sunset_at=timezone.now() + timedelta(days=90),
        replacement=new,
    )
    secret = Model.objects.get(public_id="gemma-3-27b")
    acme = Organization.objects.filter(slug="acme")
    control.model_set_visibility(actor=None, model=secret, organizations=list(acme))


def _backends(cast: Cast) -> list[Backend]:
    lulea = control.region_create(
        actor=cast.oskar, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
    )
    return [
        control.backend_register(
            actor=cast.oskar,
            name=f"lulea-gpu-0{number}",
            base_url=f"http://127.0.0.1:1840{number}",
            engine="vllm",
            region=lulea,
        )
        for number in (1, 2, 3)
    ]


def _model(
    cast: Cast,
    backend: Backend,
    public_id: str,
    name: str,
    owned_by: str,
    licence: str,
    context_tokens: int,
    prices: str,
    per_hour: int,
    *tasks: Task,
) -> tuple[Model, int]:
    model = control.model_create(
        actor=cast.oskar,
        public_id=public_id,
        name=name,
        tasks=tasks or TEXT,
        context_tokens=context_tokens,
        owned_by=owned_by,
        licence=licence,
        **_known(public_id),
    )
    for component, price in zip(model.components, prices.split(), strict=True):
        rate_set(actor=cast.oskar, model=public_id, component=component, price=Decimal(price))
    control.model_deploy(actor=cast.oskar, model=model, backend=backend, engine_model=public_id)
    return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True), per_hour


def _known(public_id: str) -> dict[str, Any]:
    """What the catalog says of a model beyond the row here."""
    known = known_models().get(public_id)
    names = ("family", "description", "capabilities", "release_date", "licence_url", "source_url")
    facts = {name: getattr(known, name) for name in names} if known else {}
    return facts | ({"card": known.card} if known else {})


def _keys(cast: Cast) -> list[tuple[ApiKey, float]]:
    """Keys that work, and their share of all requests; one more is revoked, one is unused."""
    support = services.project_create(
        actor=cast.olivia, organization=cast.acme, name="Customer support"
    )
    made = [
        services.api_key_create(actor=cast.olivia, project=project, name=name).api_key
        for project, name in (
            (support, "support-chat"),
            (cast.project, "search-index batch"),
            (support, "call-summaries"),
            (cast.project, "anna laptop"),
            (support, "pilot 2025"),
        )
    ]
    services.api_key_revoke(actor=cast.olivia, api_key=made[-1])
    _special_keys(cast)
    return list(zip([cast.key.api_key, *made[:3]], (0.45, 0.3, 0.2, 0.05), strict=True))


def _special_keys(cast: Cast) -> None:
    """One that may do little and was rotated, one that ends, one that nobody uses; an admin key."""
    now = timezone.now()
    account = services.service_account_create(actor=cast.olivia, project=cast.project, name="kyc")
    scope = services.KeyScope(
        ["chat", "embedding"], ["gpt-oss-120b", "kb-whisper-large"], ["203.0.113.0/24"]
    )
    scoped = services.api_key_create(
        actor=cast.olivia, project=cast.project, name="kyc-service prod", service_account=account,
        expires_at=now + timedelta(days=90), scope=scope,
    ).api_key  # fmt: skip
    ApiKey.objects.filter(pk=scoped.pk).update(
        last_used_at=now - timedelta(minutes=3), last_network="203.0.113.0/24"
    )
    services.api_key_rotate(actor=cast.olivia, api_key=scoped)
    services.api_key_create(
        actor=cast.olivia, project=cast.project, name="nightly", expires_at=now + timedelta(days=7)
    )
    idle = services.api_key_create(actor=cast.olivia, project=cast.project, name="old script")
    ApiKey.objects.filter(pk=idle.api_key.pk).update(created_at=now - timedelta(days=114))
    services.admin_key_create(
        actor=cast.olivia, organization=cast.acme, name="terraform", may_write=True,
        expires_at=now + timedelta(days=365),
    )  # fmt: skip


def _hours(days: int) -> list[datetime]:
    now = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [now - timedelta(hours=back) for back in range(days * 24)]


def _hour(model: Model, prices: Prices, key: ApiKey, hour: datetime, most: float) -> UsageHour:
    """More by day than by night, less at weekends, and the same at every run."""
    dice = random.Random(f"{model.public_id} {key.name} {hour}")  # noqa: S311 - no secret
    busy = (1 - abs(hour.hour - 13) / 14) * (0.4 if hour.weekday() > 4 else 1)
    requests = int(most * busy * dice.uniform(0.85, 1.15))
    used = {name: count for name, count in _used(model, requests, dice).items() if count}
    return UsageHour(
        organization_id=key.organization_id,
        project_id=key.project_id,
        api_key=key,
        model=model.public_id,
        hour=hour,
        requests=requests,
        failed_requests=requests // 1200,
        amount=prices.amount(**used),
        currency="EUR",
        **{name: used.get(name, 0) for name in COUNTED},
    )


def _days(hours: list[UsageHour]) -> list[UsageDay]:
    """The sums of `hours` by day."""
    days: dict[tuple[Any, ...], UsageDay] = {}
    for hour in hours:
        key = (hour.organization_id, hour.hour.date(), hour.api_key_id, hour.model)
        day = days.setdefault(
            key,
            UsageDay(
                organization_id=hour.organization_id,
                project_id=hour.project_id,
                api_key_id=hour.api_key_id,
                model=hour.model,
                day=hour.hour.date(),
                currency=hour.currency,
                **dict.fromkeys(SUMMED, 0),
            ),
        )
        for name in SUMMED:
            setattr(day, name, getattr(day, name) + getattr(hour, name))
    return list(days.values())


def _requests(asked: list[tuple[ApiKey, Model, Prices]]) -> None:
    """The last two hours, a request a minute: some streams, some left, some that failed."""
    now = timezone.now()
    endings = [Outcome.COMPLETED] * 8 + [Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR]
    ended_all(
        [
            _request(*asked[at % len(asked)], now - timedelta(minutes=at + 1), endings[at % 10])
            for at in range(120)
        ]
    )


def _request(
    key: ApiKey, model: Model, prices: Prices, at: datetime, outcome: Outcome
) -> UsageEvent:
    dice = random.Random(f"{at:%H:%M} {model.public_id}")  # noqa: S311 - no secret
    used = {name: count for name, count in _used(model, 1, dice).items() if count}
    is_free = outcome == Outcome.UPSTREAM_ERROR
    return event_of(
        key,
        at,
        model=model.public_id,
        region="se-north",
        outcome=outcome,
        ttft_ms=None if is_free else dice.randint(120, 900),
        queued_ms=dice.randint(0, 100),
        duration_ms=dice.randint(1_000, 9_000),
        client_request_id=f"nightly-{at:%H%M}" if at.minute % 3 == 0 else "",
        amount=Decimal(0) if is_free else prices.amount(**used),
        **{name: used.get(name, 0) for name in COUNTED},
    )


def _used(model: Model, requests: int, dice: random.Random) -> dict[str, int]:
    """What `requests` to `model` used, by the names of UsageHour."""
    if model.components == [Component.AUDIO_SECOND]:
        return {"audio_seconds": requests * dice.randint(60, 400)}
    input_tokens = requests * dice.randint(900, 1500)
    if Component.OUTPUT not in model.components:
        return {"input_tokens": input_tokens}
    return {
        "input_tokens": input_tokens,
        "cached_tokens": input_tokens * dice.randint(25, 45) // 100,
        "output_tokens": requests * dice.randint(90, 220),
    }
