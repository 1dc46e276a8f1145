"""What does not add up: models without a price, and numbers that should be equal and are not."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import User


class ModelHalt(models.Model):
    """A model that was used without a price for it: no gateway serves it until it is released.

    `model` is the public id. What could not be rated waits, and is booked after the release.
    """

    model = models.CharField(_("model"), max_length=100)
    since = models.DateTimeField(default=timezone.now, editable=False)
    reason = models.CharField(_("reason"), max_length=500)
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-since"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model"], condition=Q(released_at=None), name="model_halted_once"
            )
        ]

    @override
    def __str__(self) -> str:
        return self.model


class DriftKind(models.TextChoices):
    """`found` beside `expected`: ours beside the engine's, a sum beside what it is the sum of."""

    CHARGE = "charge", _("Charged by the gateway, and rated")
    HOUR = "hour", _("Sum of an hour, and its events")
    DAY = "day", _("Sum of a day, and its hours")
    BACKEND = "backend", _("Our tokens, and the engine’s")


class Drift(models.Model):
    """Two numbers of the hour or day that starts at `at` that should be equal and are not.

    `about` is an organization and what of it, a model or a backend. A later look replaces it.
    """

    kind = models.CharField(_("kind"), max_length=10, choices=DriftKind)
    about = models.CharField(_("about"), max_length=200)
    at = models.DateTimeField()
    expected = models.DecimalField(max_digits=38, decimal_places=12)
    found = models.DecimalField(max_digits=38, decimal_places=12)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-seen_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "about", "at"], name="drift_once")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.about}"
