"""Who does what in the year, and when. It follows from the seed alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final, NamedTuple

from django.db.models import F

from billing.ledger import wallet_read
from billing.models import (
    EventState,
    Invoice,
    InvoiceKind,
    InvoiceState,
    Payment,
    PaymentKind,
    PaymentState,
    StripeCustomer,
    WebhookEvent,
)
from billing.payments.looks import HANDLED
from console.fakestripe import FakeStripe
from console.fakestripe.http import Refusal
from tests.year.cast import Kind, cast_of
from tests.year.checks import Checks
from tests.year.days import days_of, later, midnight
from tests.year.oracle import Oracle
from tests.year.stage import Stage
from tests.year.usage import Usage

PRICES: Final = {
    ("EUR", "small", "input"): "0.2", ("EUR", "small", "cached_input"): "0.05",
    ("EUR", "small", "output"): "0.8", ("EUR", "large", "input"): "2.5",
    ("EUR", "large", "cached_input"): "0.5", ("EUR", "large", "output"): "10",
    ("EUR", "ear", "audio_second"): "0.0059", ("SEK", "small", "input"): "2.2",
    ("SEK", "small", "cached_input"): "0.6", ("SEK", "small", "output"): "9",
    ("SEK", "large", "input"): "27.5", ("SEK", "large", "cached_input"): "5.5",
    ("SEK", "large", "output"): "110", ("SEK", "ear", "audio_second"): "0.067",
}  # fmt: skip
TIERS: Final = (("20", "5"), ("60", "12.5"))
GOOD, DECLINED, ONCE_ASKS = "4242424242424242", "4000000000000002", "4000002500003155"
OWED: Final = (InvoiceState.FINALISED, InvoiceState.PAST_DUE)
TAIL: Final = timedelta(days=40)
"""So long after the last month everything has come to rest."""


class Proposed(NamedTuple):
    """A price that waits for a second person: of book, model and component."""

    number: int
    key: tuple[str, str, str]
    price: Decimal
    start: datetime


class Story:
    """`events` a month and organization; the worker steps every `pace` days. In one month all
    webhooks of a week are lost.
    """

    def __init__(
        self, stage: Stage, fake: FakeStripe, seed: int, *, organizations: int, start: date,
        months: int, events: int, pace: int, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._stage, self._fake = stage, fake
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._cast = cast_of(organizations)
        self._months = [later(start, number) for number in range(months)]
        self._pace = pace
        self._deaf_in = self._months[months // 3]
        self._tell = tell
        self.oracle = Oracle()
        self.checks = Checks(self.oracle, stage, fake)
        self._usage = Usage(stage, self.oracle, self._cast, self._random, events)
        self.breaks: list[str] = []
        self.backfilled = 0
        self._now = self.start
        self._proposed: list[Proposed] = []
        self._references = 0

    @property
    def start(self) -> datetime:
        return begins(self._months[0])

    def run(self) -> None:
        self._open()
        for month in self._months:
            self._tell(f"{month:%Y-%m}")
            for day in days_of(month):
                self._day(day)
        end = later(self._months[-1], 1)
        for number in range(TAIL.days):
            self._quiet_day(end + timedelta(days=number))
        self._check(end + TAIL, is_last=True)

    def _open(self) -> None:
        do = self._stage.do
        do("open")
        for (currency, model, component), price in PRICES.items():
            do("price", book=currency, model=model, component=component, price=price)
            self.oracle.price(currency, model, component, Decimal(price), self.start)
        self._move(self.start.date(), 1)
        for who, kind in enumerate(self._cast):
            do("join", name=kind.name, plan=kind.plan, currency=kind.currency,
               credit_limit=kind.credit_limit, profile=kind.profile)  # fmt: skip
            if kind.has_book:
                self._book(who, kind)
            if kind.pays == "free":  # who has paid something is somebody, and gets free credit
                self._credit_by_bank(who, "12.50")

    def _book(self, who: int, kind: Kind) -> None:
        name = f"own-{who}"
        self._stage.do("book", name=name, who=who, tiers=[list(tier) for tier in TIERS])
        self.oracle.book(name, kind.currency)
        self.oracle.tiers[who] = [(Decimal(start), Decimal(off)) for start, off in TIERS]
        self._stage.do("price", book=name, model="large", component="output", price="8")
        self.oracle.price(name, "large", "output", Decimal(8), self.start)

    # A day

    def _day(self, day: date) -> None:
        """Its requests end up with the product in the night after it."""
        month = day.replace(day=1)
        if day.day == 1:
            self._begin(day)
        self._happen(day, self._months.index(month))
        self._usage.ask(day)
        night = day + timedelta(days=1)
        if night.day == 1 or day.day % self._pace == 0:
            self._usage.tell(self._move(night, 0, 5))
            self._step(night, 0)

    def _quiet_day(self, day: date) -> None:
        """After the year: what is open is paid, nothing is used."""
        if day.day == 1:
            self._begin(day)
        elif day.day in {3, 20}:
            self._usage.tell_late(self._move(day, 8), share=1)
            self._pay(day, is_last=True)
        elif day.day % self._pace == 0:
            self._step(day, 6)

    def _begin(self, day: date) -> None:
        """A month: who is proven is asked again before the last one is invoiced."""
        last = later(day, -1)
        for who, kind in enumerate(self._cast):
            is_asked = kind.is_proven and day.month != 6
            if is_asked:
                self._move(day, 5)
                self._stage.do("prove", who=who)
            self.oracle.vat_rates[who, last] = kind.vat_rate(is_proven=is_asked)
        self._move(day, 6)
        self._stage.do("close")
        self.oracle.close(day)
        self._step(day, 6)

    def _happen(self, day: date, number: int) -> None:
        """What people do on this day of a month."""
        match day.day:
            case 2:
                self._step(day, 8)  # what cards have paid meanwhile is heard of
                if number % 4 == 2:
                    self._void(day)
                self._credit(day)
                self._step(day, 10)
            case 3:
                self._usage.tell_late(self._move(day, 8), share=0.8)
            case 4 | 20:
                self._pay(day)
                self._choose(day, number)
            case 5:
                self._check(day)
            case 8 if self._is_deaf(day):
                self._stage.do("fetch")
            case 9:
                self._propose(day, number)
                self._top_up(day)
            case 12 | 17 if (number % 3 == 1) == (day.day == 17):
                self._approve(day)
            case 14 if self._is_deaf(day):
                self._hear_again(day)
            case 18:
                self._grant(day, number)
                self._refund(day)

    # Time

    def _move(self, day: date, hour: int, minute: int = 0) -> datetime:
        moment = midnight(day) + timedelta(hours=hour, minutes=minute)
        if moment < self._now:
            raise RuntimeError(f"{moment} is before {self._now}.")
        self._now = moment
        self._stage.move_to(moment)
        self._exchange(day)
        return moment

    def _exchange(self, day: date) -> None:
        """A rate of the krona is published every few days."""
        if day.toordinal() - max(self.oracle.kronor, default=date.min).toordinal() >= 3:
            self.oracle.kronor[day] = Decimal(11_000 + day.toordinal() % 97) / 1000
            self._stage.do("exchange", day=day.isoformat(), rate=str(self.oracle.kronor[day]))

    def _step(self, day: date, hour: int) -> None:
        """The worker, and the provider's webhooks until there are none."""
        self._move(day, hour, 30)
        self._stage.do("work")
        while self._fake.deliver(lambda body, headers: self._deliver(day, body, headers)):
            self._stage.do("work")

    def _deliver(self, day: date, body: bytes, headers: Mapping[str, str]) -> int:
        """What the endpoint is registered for. In the deaf week somebody says yes, and nobody has
        heard.
        """
        if not self._is_deaf(day) and json.loads(body)["type"].startswith(HANDLED):
            signature = headers["Stripe-Signature"]
            self._stage.do("webhook", body=body.decode(), signature=signature)
        return 200

    def _is_deaf(self, day: date) -> bool:
        return day.replace(day=1) == self._deaf_in and 8 <= day.day <= 14

    def _hear_again(self, day: date) -> None:
        """At the end of that week events are fetched that never came."""
        self._move(day, 23)
        known = set(WebhookEvent.objects.values_list("pk", flat=True))
        self._stage.do("fetch")
        found = WebhookEvent.objects.exclude(pk__in=known)
        self.backfilled = found.filter(is_fetched=True, state=EventState.DONE).count()
        if not self.backfilled:
            self.breaks.append("no event of the lost week was found")

    # Prices

    def _propose(self, day: date, number: int) -> None:
        """From the morning of the 15th on, one of each book; another person has to agree."""
        self._move(day, 10)
        start = midnight(day.replace(day=15)) + timedelta(hours=9, minutes=30)
        known = [key for key in PRICES if number % 2 or key[1] != "ear"]
        chosen = {currency: self._random.choice([one for one in known if one[0] == currency])
                  for currency in ("EUR", "SEK")}  # fmt: skip
        changes = list(chosen.values())
        changes += [(f"own-{who}", "large", "output") for who in self.oracle.tiers]
        self._proposed = [self._proposed_one(key, start) for key in changes]

    def _proposed_one(self, key: tuple[str, str, str], start: datetime) -> Proposed:
        before = self.oracle.price_of(*key, start)
        price = (before * self._random.randint(80, 130) / 100).quantize(Decimal("1e-6"))
        book, model, component = key
        proposal = self._stage.do(
            "propose", book=book, model=model, component=component, price=str(price),
            valid_from=start.isoformat(),
        )  # fmt: skip
        return Proposed(proposal, key, price, start)

    def _approve(self, day: date) -> None:
        """In time; or later than it was to count, so that it counts from now on."""
        now = self._move(day, 14, 20)
        for one in self._proposed:
            self._stage.do("approve", proposal=one.number)
            self.oracle.price(*one.key, one.price, max(one.start, now))
            self._usage.changes.append(max(one.start, now))

    # Money

    def _pay(self, day: date, *, is_last: bool = False) -> None:
        """Invoices that are open: at a page, by bank, or not until it hurts."""
        self._move(day, 11)
        self._fake.tick()
        for who, kind in enumerate(self._cast):
            if kind.pays == "late" and not (is_last or self._usage.is_suspended(who)):
                continue
            for invoice in self._owed(who):
                if kind.pays == "bank":
                    self._by_bank(who, invoice)
                elif self._is_to_be_paid(invoice):
                    self._by_card(invoice.hosted_url)
        self._step(day, 11)

    def _owed(self, who: int) -> list[Invoice]:
        mine = Invoice.objects.filter(organization=self._stage.company.members[who].organization)
        owed = mine.filter(state__in=OWED, total__gt=F("paid") + F("credited"))
        return list(owed.order_by("period_start", "number"))

    def _is_to_be_paid(self, invoice: Invoice) -> bool:
        """The page does not say that a card has paid it meanwhile, and there is one."""
        theirs = self._fake.account.store.find(invoice.stripe_id)
        return theirs is not None and theirs["status"] == "open"

    def _by_bank(self, who: int, invoice: Invoice) -> None:
        self._references += 1
        self._stage.do(
            "bank", who=who, amount=str(invoice.to_pay), reference=f"BG{self._references}",
            invoice=invoice.number,
        )  # fmt: skip

    def _by_card(self, url: str) -> None:
        """Some try one that is refused first, some are asked by their bank."""
        if self._random.random() < 0.1:
            with suppress(Refusal):
                self._fake.pay(url, DECLINED)
        paid = self._fake.pay(url, ONCE_ASKS if self._random.random() < 0.2 else GOOD)
        if action := paid.get("next_action"):
            self._fake.authenticate(action["redirect_to_url"]["url"])

    def _top_up(self, day: date) -> None:
        """Who pays ahead; with a card that is kept, the rest comes by itself."""
        for who, kind in enumerate(self._cast):
            if kind.is_prepaid and kind.pays != "free":
                self._top_up_of(who, kind, day)
        self._step(day, 12)
        self._automate(day)

    def _top_up_of(self, who: int, kind: Kind, day: date) -> None:
        self._move(day, 12)
        amount = self._random.choice([20, 30, 45])
        if kind.pays == "bank":
            self._credit_by_bank(who, f"{amount * 10}.05")
        elif kind.pays == "card" or not self._has_card(who) or self._is_deaf(day):
            self._by_card(self._stage.do("top_up", who=who, amount=str(amount)))

    def _credit_by_bank(self, who: int, amount: str) -> None:
        self._references += 1
        self._stage.do("bank", who=who, amount=amount, reference=f"BG{self._references}")

    def _has_card(self, who: int) -> bool:
        cards = StripeCustomer.objects.exclude(payment_method="")
        return cards.filter(organization=self._stage.company.members[who].organization).exists()

    def _automate(self, day: date) -> None:
        self._move(day, 13)
        for who, kind in enumerate(self._cast):
            if kind.pays == "auto" and self._has_card(who):
                self._stage.do("automate", who=who, threshold="15", amount="25",
                               monthly_cap="400")  # fmt: skip

    def _refund(self, day: date) -> None:
        """Of the last top-up that still lies there unused, and of a paid invoice."""
        self._move(day, 15)
        for who in self._some():
            pk = self._stage.company.members[who].organization.pk
            paid = Payment.objects.filter(organization=pk, state=PaymentState.PAID)
            paid = paid.exclude(stripe_payment_intent="", provider="stripe").order_by(
                "created_at", "pk"
            )
            top_up = paid.exclude(kind=PaymentKind.INVOICE).filter(net__gt=5).last()
            invoiced = paid.filter(kind=PaymentKind.INVOICE, invoice__credited=0).last()
            if top_up and wallet_read([pk])[pk].prepaid > 5 and top_up.refunded == 0:
                self._stage.do("refund", payment=str(top_up.pk), amount="4.37")
            elif invoiced and invoiced.refunded == 0 and invoiced.net > 4:
                self._stage.do("refund", payment=str(invoiced.pk), amount="3.33")
        self._step(day, 15)

    def _credit(self, day: date) -> None:
        """Off what is open, to be paid back, or as credit."""
        self._move(day, 10)
        for who in self._some():
            organization = self._stage.company.members[who].organization
            mine = Invoice.objects.filter(organization=organization, kind=InvoiceKind.USAGE)
            billed = mine.filter(subtotal__gt=5, credited=0, state__in=[*OWED, InvoiceState.PAID])
            if invoice := billed.order_by("-period_start", "number").first():
                amount = Decimal(self._random.randint(50, 450)) / 100
                rest = self._random.choice(["pay back", "prepaid"])
                self._stage.do("credit", invoice=invoice.number, amount=str(amount), rest=rest)

    def _void(self, day: date) -> None:
        """An invoice that nobody has paid yet, of somebody who pays by bank."""
        self._move(day, 9)
        who = next(who for who, kind in enumerate(self._cast) if kind.pays == "bank")
        if owed := [one for one in self._owed(who) if not one.credited]:
            self._stage.do("void", invoice=owed[-1].number)

    def _grant(self, day: date, number: int) -> None:
        """Credit that expires, used up or not."""
        who = number % len(self._cast)
        self._stage.do("grant", who=who, amount="7.5", days=20)

    def _choose(self, day: date, number: int) -> None:
        """Somebody grows out of the free plan, and later goes back."""
        wanted = {(1, 20): "build", (5, 20): "free"}.get((number, day.day))
        for who, kind in enumerate(self._cast):
            if wanted and kind.name.startswith("Newcomer"):
                if self._stage.do("choose", who=who, plan=wanted):
                    self._usage.plans[who] = wanted
                elif wanted == "build":
                    self.breaks.append(f"{kind.name} may not change to {wanted}")

    def _some(self) -> list[int]:
        return [who for who in range(len(self._cast)) if self._random.random() < 0.4]

    # Checks

    def _check(self, day: date, *, is_last: bool = False) -> None:
        self._step(day, 6)
        self._move(day, 7)
        self.breaks += [
            f"{day:%Y-%m}: {one}" for one in self.checks.found(day.replace(day=1), is_last=is_last)
        ]


def begins(first: date) -> datetime:
    """When all is set up for a year that begins on that day."""
    return midnight(first) - timedelta(days=2)
