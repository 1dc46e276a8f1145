"""What an organization has, owes and spends, as its billing pages show it."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Final

from django.utils import timezone

from billing.budgets import BudgetUse, budgets_read
from billing.ledger import Wallet, wallet_read
from billing.lots import Lot, lots_read
from billing.models import (
    AutoTopUp,
    BillingProfile,
    Dunning,
    Invoice,
    Mode,
    Period,
    StripeCustomer,
)
from console.costs import CostReport, CostSpan, today
from tenants.models import Organization

RECENT_INVOICES: Final = 5
CENT: Final = Decimal("0.01")
LOW_DAYS: Final = 3
"""A prepaid balance that lasts no longer is worth a word."""


class Account:
    """The money of one organization: each fact is read when it is first asked for."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization

    @cached_property
    def wallet(self) -> Wallet:
        return wallet_read([self.organization.pk])[self.organization.pk]

    @cached_property
    def report(self) -> CostReport:
        """This month, by model."""
        return CostReport(self.organization, CostSpan.of_month(today()), "model")

    @cached_property
    def lots(self) -> list[Lot]:
        return lots_read(self.organization, timezone.now())

    @cached_property
    def budgets(self) -> list[BudgetUse]:
        return budgets_read(self.organization)

    @property
    def cap(self) -> BudgetUse | None:
        """The budget of the whole organization for a month."""
        of_all = (
            use
            for use in self.budgets
            if use.budget.period == Period.MONTH
            and not (use.budget.project_id or use.budget.api_key_id)
        )
        return next(of_all, None)

    @cached_property
    def invoices(self) -> list[Invoice]:
        """The newest."""
        found = Invoice.objects.for_organization(self.organization).numbered()
        return list(found[:RECENT_INVOICES])

    @cached_property
    def profile(self) -> BillingProfile | None:
        return BillingProfile.objects.for_organization(self.organization).first()

    @cached_property
    def customer(self) -> StripeCustomer | None:
        """With the saved card, if there is one."""
        return StripeCustomer.objects.for_organization(self.organization).first()

    @cached_property
    def auto(self) -> AutoTopUp | None:
        found = AutoTopUp.objects.for_organization(self.organization)
        return found.select_related("payment").first()

    @cached_property
    def late(self) -> Dunning | None:
        """Since when an invoice is past due, and what follows from that by now."""
        return Dunning.objects.for_organization(self.organization).first()

    @property
    def is_prepaid(self) -> bool:
        return self.wallet.mode is Mode.PREPAID

    @property
    def owed(self) -> Decimal:
        """What is used and billed, and not paid."""
        return self.wallet.unbilled + self.wallet.receivable

    @property
    def credit(self) -> Decimal:
        """What was paid or given in advance and is not used."""
        return self.wallet.prepaid + self.wallet.promo

    @property
    def is_empty(self) -> bool:
        """Whether requests are refused for want of money: less than a cent covers next to none."""
        return self.wallet.available is not None and self.wallet.available < CENT

    @cached_property
    def days_left(self) -> int | None:
        """How long what is available lasts at the pace of this month; None if nobody can say."""
        available, forecast = self.wallet.available, self.report.forecast
        if available is None or not forecast:
            return None
        return int(max(available, Decimal(0)) * self.report.span.whole.count / forecast)

    @property
    def is_low(self) -> bool:
        return self.days_left is not None and self.days_left <= LOW_DAYS
