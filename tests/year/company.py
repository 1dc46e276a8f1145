"""Everything that can be done to the product in this story, each act as plain data."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.utils import timezone

from billing import tasks
from billing.exchange import exchange_rate_set
from billing.invoices import credit_note_issue, invoice_close, invoice_void
from billing.ledger import promo_grant
from billing.metering import decode
from billing.models import (
    BillingProfile,
    Component,
    Currency,
    Invoice,
    Payment,
    Plan,
    PriceBook,
    Rate,
)
from billing.payments import (
    Rest,
    auto_top_up_set,
    invoice_credit,
    payment_enter,
    payment_refund,
    stripe_reconcile,
    top_up_begin,
    webhook_take,
)
from billing.payments.reconciling import Difference
from billing.plans import currency_set, plan_begin, plan_change, terms_set_book
from billing.price_books import (
    list_book,
    price_book_create,
    rate_approve,
    rate_propose,
    tiers_set,
)
from billing.profiles import profile_set, vat_evidence_set
from tenants.models import ApiKey, Organization, Project, User, new_id
from tests.billing.records import put

BEATS: Final = (
    tasks.usage_ingest, tasks.payments_work, tasks.dunning_look, tasks.credit_expire,
    tasks.promo_monthly_give,
)  # fmt: skip


class Member(NamedTuple):
    organization: Organization
    project: Project
    key: ApiKey


class Company:
    """Two operators, a person who acts for all customers, and these by number."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.books: dict[str, PriceBook] = {}
        self._proposals: list[Rate] = []

    def open(self) -> None:
        make = User.objects.create_user
        self._person = make(email="person@year.test", name="Person")
        self._anna = make(email="anna@year.test", name="Anna", is_staff=True)
        self._bert = make(email="bert@year.test", name="Bert", is_staff=True)
        self.books |= {"EUR": list_book(), "SEK": list_book(Currency.SEK)}

    def join(
        self, name: str, plan: str, currency: str, credit_limit: str | None,
        profile: dict[str, Any] | None,
    ) -> None:  # fmt: skip
        """On the free plan by themselves, else as it was agreed."""
        organization = Organization.objects.create(pk=new_id(), name=name, slug=name.lower())
        project = Project.objects.create(pk=new_id(), organization=organization, name="One")
        key = ApiKey.objects.create(
            pk=new_id(), organization=organization, project=project, name=name,
            digest=organization.pk.bytes, pepper_version=1,
        )  # fmt: skip
        self.members.append(Member(organization, project, key))
        if currency != Currency.EUR:
            currency_set(actor=self._anna, organization=organization, currency=Currency(currency))
        if profile:
            profile_set(actor=self._person, organization=organization, **profile)
        if plan == "free":
            plan_begin(actor=self._person, organization=organization)
        else:
            self._put_on(organization, plan, credit_limit)

    def _put_on(self, organization: Organization, plan: str, credit_limit: str | None) -> None:
        plan_change(
            actor=self._anna, organization=organization, plan=Plan.objects.get(slug=plan),
            reason="As agreed", credit_limit=Decimal(credit_limit) if credit_limit else None,
        )  # fmt: skip

    def choose(self, who: int, plan: str) -> bool:
        """A customer changes plan by themselves; whether they may."""
        try:
            plan_change(
                actor=self._person, organization=self._of(who), plan=Plan.objects.get(slug=plan)
            )
        except ValidationError:
            return False
        return True

    def prove(self, who: int) -> None:
        """The EU says again that the VAT id is one."""
        vat_evidence_set(
            actor=None, profile=BillingProfile.objects.get(organization=self._of(who)),
            is_valid=True, source="VIES", reference="WAPI", checked_at=timezone.now(),
        )  # fmt: skip

    # Prices

    def book(self, name: str, who: int, tiers: Sequence[tuple[str, str]]) -> None:
        """One of an organization's own, with discounts for volume."""
        book = price_book_create(
            actor=self._anna, slug=name, name=name, parent=self.books["EUR"],
            organization=self._of(who),
        )  # fmt: skip
        self.books[name] = book
        tiers_set(
            actor=self._anna,
            book=book,
            tiers=[(Decimal(start), Decimal(off)) for start, off in tiers],
        )
        terms_set_book(actor=self._anna, organization=self._of(who), book=book, reason="As agreed")

    def price(self, book: str, model: str, component: str, price: str) -> None:
        """In force from now on; what the installation comes with."""
        rate_propose(
            actor=None, book=self.books[book], model=model, component=Component(component),
            price=Decimal(price),
        )  # fmt: skip

    def propose(self, book: str, model: str, component: str, price: str, valid_from: str) -> int:
        """By one operator; its number."""
        rate = rate_propose(
            actor=self._anna, book=self.books[book], model=model, component=Component(component),
            price=Decimal(price), valid_from=datetime.fromisoformat(valid_from),
        )  # fmt: skip
        self._proposals.append(rate)
        return len(self._proposals) - 1

    def approve(self, proposal: int) -> None:
        """By another."""
        rate_approve(actor=self._bert, rate=self._proposals[proposal])

    def exchange(self, day: str, rate: str) -> None:
        exchange_rate_set(
            actor=self._anna, day=date.fromisoformat(day), rate=Decimal(rate), source="Riksbank"
        )

    # Usage and the worker

    def use(self, records: Sequence[str]) -> None:
        put(*(decode(b64decode(record)) for record in records))
        tasks.usage_ingest()

    def work(self) -> None:
        for beat in BEATS:
            beat()

    def close(self) -> None:
        """Begin a month: there is a table for it, what has ended is closed."""
        tasks.usage_partitions_tend()
        tasks.months_close()

    def fetch(self) -> None:
        tasks.stripe_events_fetch()
        tasks.payments_work()

    def reconcile(self, *, is_long: bool = False) -> list[Difference]:
        """What differs from the provider, of the last days or weeks."""
        return stripe_reconcile(timezone.now(), is_long=is_long)

    def webhook(self, body: str, signature: str) -> None:
        webhook_take(body.encode(), signature)

    # Money

    def top_up(self, who: int, amount: str) -> str:
        """The page where it is paid."""
        payment = top_up_begin(
            actor=self._person, organization=self._of(who), amount=Decimal(amount)
        )
        return payment.checkout_url

    def automate(self, who: int, threshold: str, amount: str, monthly_cap: str) -> None:
        auto_top_up_set(
            actor=self._person, organization=self._of(who), is_on=True,
            threshold=Decimal(threshold), amount=Decimal(amount), monthly_cap=Decimal(monthly_cap),
        )  # fmt: skip

    def bank(self, who: int, amount: str, reference: str, invoice: str = "") -> None:
        """Money came to the bank: of an invoice, or for credit."""
        payment_enter(
            actor=self._anna, organization=self._of(who), amount=Decimal(amount),
            reference=reference, invoice=Invoice.objects.get(number=invoice) if invoice else None,
        )  # fmt: skip

    def refund(self, payment: str, amount: str) -> None:
        payment_refund(
            actor=self._anna, payment=Payment.objects.get(pk=payment), amount=Decimal(amount),
            reason="Asked for",
        )  # fmt: skip

    def credit(self, invoice: str, amount: str, rest: str) -> None:
        """What was paid of it is owed, or becomes credit."""
        found = Invoice.objects.get(number=invoice)
        if rest == "prepaid":
            invoice_credit(
                actor=self._anna, invoice=found, amount=Decimal(amount), reason="An outage",
                rest=Rest.CREDIT,
            )  # fmt: skip
        else:
            credit_note_issue(
                actor=self._anna, invoice=found, amount=Decimal(amount), reason="An outage"
            )

    def void(self, invoice: str) -> None:
        """Take it back, and invoice the same usage anew."""
        void = invoice_void(
            actor=self._anna, invoice=Invoice.objects.get(number=invoice), reason="Wrong buyer"
        )
        invoice_close(void.organization, void.period_start, timezone.now(), actor=self._anna)

    def grant(self, who: int, amount: str, days: int) -> None:
        promo_grant(
            actor=self._anna, organization=self._of(who), amount=Decimal(amount),
            expires_at=timezone.now() + timedelta(days=days), reason="Welcome",
        )  # fmt: skip

    def _of(self, who: int) -> Organization:
        return self.members[who].organization
