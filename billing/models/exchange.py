"""What a euro is in kronor, day by day: for the VAT that a Swedish seller states in them."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import User


class ExchangeRate(models.Model):
    """`rate` SEK for one EUR on `day`, as `source` published it. No amount is converted by it: it
    stands on invoices, which keep the one that they were made with.
    """

    day = models.DateField(_("day"), unique=True)
    rate = models.DecimalField(_("SEK for one EUR"), max_digits=10, decimal_places=6)
    source = models.CharField(_("source"), max_length=100)
    entered_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    entered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["-day"]

    @override
    def __str__(self) -> str:
        return f"{self.day}"
