"""The two customers, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from django.core.exceptions import ValidationError

from billing.ingest import ingest
from billing.metering import UsageRecord
from billing.models import (
    Invoice,
    InvoiceKind,
    InvoiceState,
    Mode,
    Outcome,
    Payment,
    PaymentState,
    StripeCustomer,
    Terms,
)
from billing.payments import auto_top_up_set, invoice_credit, payment_refund, top_up_begin
from console.fakestripe import FakeStripe
from console.fakestripe.http import Refusal
from tenants.models import ApiKey, Organization, Project, User, new_id
from tests.billing.records import put
from tests.simulation.world import MODEL

LAST_DAY: Final = datetime(2026, 3, 31, 12, tzinfo=UTC)
MONTH_END: Final = datetime(2026, 4, 1, 6, tzinfo=UTC)
LASTS: Final = timedelta(days=6)
OUTAGE: Final = timedelta(days=3)
EURO_TOKENS: Final = 518_135
"""Output tokens of about one euro."""
GOOD, ONCE_ASKS, DECLINED = "4242424242424242", "4000002500003155", "4000000000000002"

Act = Callable[[datetime], bool]
"""Done at the moment, or False: then it is tried again at the next."""


@dataclass(frozen=True, slots=True)
class Customer:
    organization: Organization
    project: Project
    key: ApiKey


@dataclass(frozen=True, slots=True)
class World:
    """`payer` pays ahead, `borrower` by invoice; `person` acts for both."""

    person: User
    payer: Customer
    borrower: Customer


def world_make() -> World:
    return World(
        User.objects.create(email="person@simulated.test", name="Person"),
        _customer("payer", Mode.PREPAID),
        _customer("borrower", Mode.POSTPAID),
    )


def _customer(name: str, mode: Mode) -> Customer:
    organization = Organization.objects.create(name=name, slug=f"simulated-{name}")
    Terms.objects.create(organization=organization, mode=mode)
    project = Project.objects.create(organization=organization, name="One")
    key = ApiKey.objects.create(
        organization=organization, project=project, name=name, digest=organization.pk.bytes,
        pepper_version=1,
    )  # fmt: skip
    return Customer(organization, project, key)


class Story:
    """What happens and from when on, whatever the weather: it follows from the number alone.

    Of five stories two are of the one who pays ahead, two of the one who borrows, one of both.
    """

    def __init__(self, number: int, world: World, fake: FakeStripe) -> None:
        self._random = Random(number)  # noqa: S311 - to be repeated
        self._world, self._fake = world, fake
        self._payment: Payment | None = None
        self._card = self._random.choice([GOOD, GOOD, ONCE_ASKS])
        self._has_bad_card = self._random.random() < 0.5
        self._amount = Decimal(self._random.choice([60, 80, 100]))
        self.has_payer, self.has_borrower = number % 5 not in (2, 3), number % 5 >= 2
        self._is_credited = number % 5 != 3
        self.start = LAST_DAY if self.has_borrower else MONTH_END
        self._acts = [*self._payer_acts(), *self._borrower_acts()]

    def step(self, now: datetime) -> None:
        """Do what is due; what cannot be done yet stays for later."""
        due = [one for one in self._acts if one[0] <= now]
        done = [one for one in due if one[1](now)]
        self._acts = [one for one in self._acts if one not in done]

    @property
    def is_over(self) -> bool:
        return not self._acts

    @property
    def awaits_invoice(self) -> bool:
        """Whether a month has ended whose invoice there is not yet."""
        return self.has_borrower and not Invoice.objects.filter(kind=InvoiceKind.USAGE).exists()

    def _payer_acts(self) -> list[tuple[datetime, Act]]:
        """All in April, so that no month ends between."""
        if not self.has_payer:
            return []
        acts = [(12, self._top_up), (24, self._automate), (96, self._refund)]
        uses = [self._use(self._world.payer, self._random.randint(3, 15)) for _ in range(3)]
        return [self._within(hours, act) for hours, act in [*acts, *((110, use) for use in uses)]]

    def _borrower_acts(self) -> list[tuple[datetime, Act]]:
        if not self.has_borrower:
            return []
        return [
            (LAST_DAY, self._use(self._world.borrower, self._random.randint(20, 60))),
            self._within(48, self._pay_invoice),
        ]

    def _within(self, hours: int, act: Act) -> tuple[datetime, Act]:
        return MONTH_END + timedelta(hours=self._random.uniform(0, hours)), act

    def _top_up(self, now: datetime) -> bool:
        """Begin, pay at the page as soon as there is one, and wait until it counts."""
        payment = self._payment = self._begun(now)
        if payment is None or payment.paid_at:
            return payment is not None
        if payment.checkout_url:
            self._pay(payment.checkout_url)
        return False

    def _begun(self, now: datetime) -> Payment | None:
        if self._payment:
            self._payment.refresh_from_db()
            if self._payment.state != PaymentState.CANCELLED:
                return self._payment
        organization = self._world.payer.organization
        try:
            return top_up_begin(
                actor=self._world.person, organization=organization, amount=self._amount, now=now
            )
        except ValidationError:
            return Payment.objects.filter(organization=organization).first()

    def _pay(self, url: str) -> None:
        """A person needs none of our machines for it; a page that is over shows that."""
        try:
            if self._has_bad_card:
                self._has_bad_card = False
                self._fake.pay(url, DECLINED)
            paid = self._fake.pay(url, self._card)
            if paid.get("next_action"):
                self._fake.authenticate(paid["next_action"]["redirect_to_url"]["url"])
        except Refusal:
            return

    def _automate(self, now: datetime) -> bool:
        organization = self._world.payer.organization
        if not StripeCustomer.objects.filter(organization=organization).exclude(label="").exists():
            return False
        auto_top_up_set(
            actor=self._world.person, organization=organization, is_on=True,
            threshold=self._amount - 5, amount=Decimal(25), monthly_cap=Decimal(5000),
        )  # fmt: skip
        return True

    def _refund(self, now: datetime) -> bool:
        payment = self._payment
        if payment is None or not payment.paid_at:
            return False
        try:
            payment_refund(
                actor=self._world.person, payment=payment, amount=Decimal(10), reason="Asked for",
                now=now,
            )  # fmt: skip
        except ValidationError:  # it is used up; an automatic top-up will come
            return False
        return True

    def _pay_invoice(self, now: datetime) -> bool:
        invoice = Invoice.objects.filter(
            organization=self._world.borrower.organization, kind=InvoiceKind.USAGE
        ).first()
        if invoice and invoice.hosted_url and invoice.state != InvoiceState.PAID:
            self._pay(invoice.hosted_url)
            self._credit(invoice, now)
        return bool(invoice and invoice.state == InvoiceState.PAID)

    def _credit(self, invoice: Invoice, now: datetime) -> None:
        """A credit note after the card was charged, and before anything here has heard of it."""
        (theirs,) = self._fake.all("invoice")
        if self._is_credited and theirs["status"] == "paid" and not invoice.credited:
            invoice_credit(
                actor=self._world.person, invoice=invoice, amount=Decimal(5), reason="Slow", now=now
            )

    def _use(self, customer: Customer, euros: int) -> Act:
        def act(now: datetime) -> bool:
            if customer is self._world.payer and not (self._payment and self._payment.paid_at):
                return False
            put(_record(customer, euros, now))
            return bool(ingest())

        return act


def _record(customer: Customer, euros: int, now: datetime) -> UsageRecord:
    return UsageRecord(
        request_id=new_id(), organization_id=customer.organization.pk,
        project_id=customer.project.pk, api_key_id=customer.key.pk, model=MODEL, backend="gpu-1",
        region="se-lulea", endpoint="/v1/chat/completions", streamed=False,
        outcome=Outcome.COMPLETED, admitted_at=now - timedelta(seconds=3), occurred_at=now,
        ttft_ms=80, duration_ms=2000, input_tokens=0, cached_tokens=0,
        output_tokens=euros * EURO_TOKENS,
    )  # fmt: skip
