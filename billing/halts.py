"""Models that were used without a price: halted, and released once they are priced."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import ModelHalt
from tenants import audit
from tenants.models import User
from tenants.valkey import snapshot_changed

log = structlog.get_logger()


def halted_read() -> frozenset[str]:
    """The public ids of the models that no gateway may serve."""
    return frozenset(ModelHalt.objects.filter(released_at=None).values_list("model", flat=True))


@transaction.atomic
def models_halt(reasons: Mapping[str, str]) -> None:
    """Halt the models that `reasons` names; for one that is halted already nothing changes."""
    new = {model: why for model, why in reasons.items() if model not in halted_read()}
    if not new:
        return
    halts = [ModelHalt(model=model[:100], reason=why[:500]) for model, why in new.items()]
    ModelHalt.objects.bulk_create(halts, ignore_conflicts=True)
    for model, why in new.items():
        log.error("model.halted", model=model, reason=why)
    transaction.on_commit(snapshot_changed)


@transaction.atomic
def model_release(*, actor: User | None, halt: ModelHalt) -> ModelHalt:
    """Let gateways serve the model again; what waited for a price is booked within a minute.

    ValidationError when it is released already.
    """
    halt = ModelHalt.objects.select_for_update().get(pk=halt.pk)
    if halt.released_at:
        raise ValidationError(_("This model is released already."))
    halt.released_at, halt.released_by = timezone.now(), actor
    halt.save(update_fields=["released_at", "released_by"])
    audit.record(actor=actor, action="model.release", target=halt, model=halt.model)
    transaction.on_commit(snapshot_changed)
    return halt
