from __future__ import annotations

from typing import override

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class BillingConfig(AppConfig):
    name = "billing"

    @override
    def ready(self) -> None:
        from billing.vat import RATES

        if settings.SELLER_COUNTRY not in RATES:
            raise ImproperlyConfigured(
                f"SELLER_COUNTRY is {settings.SELLER_COUNTRY!r}: VAT is known for sellers in"
                f" {', '.join(RATES)}."
            )
