"""What happens in the month: who asks what on which day, who pays, and what an operator does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count, cycle
from random import Random
from typing import Any, Final
from uuid import UUID

from celery import Task
from django.db import connection

from billing import tasks
from billing.invoices.watermark import usage_is_complete
from billing.metering import STREAMS
from billing.models import (
    Component,
    Currency,
    Invoice,
    InvoiceKind,
    UsageDay,
    UsageEvent,
)
from billing.partitions import Month
from billing.price_books import book_of, list_book
from billing.pricing import prices_by_model
from tenants.valkey import client, snapshot_changed
from tests.kills.processes import wait_until
from tests.month.asking import CHAT_MODEL, Answer, Api, Asker, Ending, Wish
from tests.month.buyers import Buyer, Operator, buyers_make, lot_give, models_make
from tests.month.world import World

type Card = tuple[Api, bool, Ending]
"""What is asked, whether it is streamed, and how it is to end."""

PATIENCE_S: Final = 120.0
SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
AT_NIGHT: Final = timedelta(minutes=10)
"""Work of beat that is done once a day here; what a month needs is done oftener, too."""
NIGHTLY: Final[Sequence[Task[[], None]]] = (
    tasks.usage_partitions_tend, tasks.credit_expire, tasks.promo_monthly_give,
    tasks.accounts_tend, tasks.dunning_look, tasks.months_close,
)  # fmt: skip
WEEKLY: Final[Sequence[Task[[], None]]] = (tasks.usage_reconcile, tasks.books_verify)
"""What looks for differences by itself, each night: here before Mondays and days the first."""
STREAMED: Final = (Api.CHAT, Api.RESPONSES, Api.MESSAGES)
STREAMS_END: Final = (Ending.WHOLE, Ending.CUT, Ending.BROKEN)
DECK: Final[Sequence[Card]] = (
    *((api, False, Ending.WHOLE) for api in Api), *((api, False, Ending.WHOLE) for api in Api),
    *((api, True, ending) for api in STREAMED for ending in STREAMS_END),
    *((api, True, Ending.WHOLE) for api in STREAMED),
    (Api.CHAT, False, Ending.FAILED), (Api.EMBEDDINGS, False, Ending.FAILED),
)  # fmt: skip
DEAREST: Final = Wish(Api.CHAT, words=1200, tokens=8)


class Story:
    """Of `month`, its first day; in all of it `answers` has what was asked.

    On each of the days `asked` (from 1) everybody asks `waves` times, and `each` at once. `on_day`
    hears of each day that is over, and how many requests there were by then.
    """

    def __init__(
        self,
        world: World,
        month: date,
        *,
        asked: Collection[int],
        waves: int,
        each: int,
        on_day: Callable[[int, int], None] = lambda day, requests: None,
    ) -> None:
        self._on_day = on_day
        self._world, self._clock = world, world.clock
        self._asked, self._waves, self._each = asked, waves, each
        self.start = _midnight(month)
        self.end = _midnight(_month_after(month))
        self.days = (self.end - self.start).days
        self._random = Random(1)  # noqa: S311 - to be repeated, in each month
        self._deck = list[Card]()
        self._ids = count(1)
        self.answers = list[Answer]()
        self.lates = set[str]()

    def prepare(self) -> None:
        """An hour before the month; gateways are started after it."""
        self._clock.set(self.start - timedelta(hours=1))
        models_make(self._world.engine.url)
        self._operator = Operator()
        self.buyers = buyers_make(self._operator)

    def play(self) -> None:
        """All of it, until the month after is closed, too: then everything is on an invoice."""
        with asyncio.Runner() as self._loop:
            askers = [Asker(url, self._clock) for url in self._world.gateways]
            self._askers = cycle(askers)
            try:
                self._begin()
                for day in range(1, self.days + 1):
                    self._day(day)
                    self._on_day(day, len(self.answers))
                self._finish()
            finally:
                for asker in askers:
                    self._loop.run(asker.close())
                connection.close()

    # The parts of it

    def _begin(self) -> None:
        """From the last second of the month before into the first of this one."""
        self._prices_known()
        self._clock.set(self.start - SECOND)
        self._ask(self._wave())
        self._ask_over(self.start)
        self._ask(self._wave())
        self._book()
        lot_give(self.buyers["promoted"].organization, self._on(10))
        self._nightly()
        self._close(self.start)

    def _day(self, day: int) -> None:
        acts = {
            3: self._price_announce, self.days // 2: self._prices_turn, 18: self._run_dry,
            20: self._operate, 27: self._too_often,
        }  # fmt: skip
        if day in acts:
            acts[day](day)
        if day not in self._asked:
            return
        for moment in self._moments(day, max(self._clock.now, self._on(day))):
            self._clock.set(moment)
            self._ask(self._wave())
            self._book()
        if day < self.days:
            self._ask_over(self._on(day + 1))
            self._nightly()

    def _moments(self, day: int, after: datetime) -> list[datetime]:
        """What is left of the day, by chance."""
        left_s = int((self._on(day + 1) - after) / SECOND)
        seconds = sorted(self._random.sample(range(3600, left_s - 60), self._waves))
        return [after + second * SECOND for second in seconds]

    def _price_announce(self, day: int) -> None:
        """For the middle of the month."""
        self._clock.set(self._on(day, 9))
        self._operator.price("612.5", Component.OUTPUT, at=self._on(self.days // 2, 12))
        self._operator.price("149.99", Component.INPUT, at=self._on(self.days // 2, 12))

    def _prices_turn(self, day: int) -> None:
        """A second before it is the old one, and then the new one."""
        for moment in (self._on(day, 12) - SECOND, self._on(day, 12)):
            self._clock.set(moment)
            self._prices_known()
            self._ask(self._wave())
            self._book()

    def _run_dry(self, day: int) -> None:
        """Whoever pays in advance asks until nothing is left, pays, and goes on."""
        self._clock.set(self._on(day, 10))
        buyer = self.buyers["prepaid"]
        refused = lambda: self._ask_one(buyer, DEAREST).ending is Ending.REFUSED  # noqa: E731
        wait_until(refused, "nothing is left", PATIENCE_S)
        self._book()
        self._clock.set(self._on(day, 11))
        self._operator.pay(buyer.organization, Decimal(50))
        served = lambda: self._ask_one(buyer, DEAREST).ending is Ending.WHOLE  # noqa: E731
        wait_until(served, "it is served again", PATIENCE_S)
        self._book()

    def _operate(self, day: int) -> None:
        """A price in SEK at once, and a VAT id that is looked up again."""
        self._clock.set(self._on(day, 8))
        self._operator.price("6999.999999", Component.OUTPUT, book=list_book(Currency.SEK))
        self._operator.vat_id_check(self.buyers["abroad"].organization)
        self._prices_known()

    def _too_often(self, day: int) -> None:
        """As often as a key may, and once more."""
        self._clock.set(self._on(day, 14))
        buyer, wish = self.buyers["crowns"], Wish(Api.MESSAGES)
        often = lambda: self._ask_one(buyer, wish, buyer.slow_key).ending is Ending.REFUSED  # noqa: E731
        wait_until(often, "it is refused", PATIENCE_S)
        self._book()

    def _finish(self) -> None:
        """The last second of the month is booked late: for a day nothing is."""
        self._clock.set(self.end - SECOND)
        self._ask(self._wave())
        self._ask_over(self.end)
        late = [one for one in self.answers if one.has_event and one.id not in self._booked()]
        self.lates = {one.id for one in late if one.ended and one.ended < self.end}
        self._clock.set(self.end)
        self._ask(self._wave())
        self._nightly()
        assert _open_months(self._clock.now), "a month was closed while its usage waits"
        self._clock.set(self.end + DAY + AT_NIGHT)  # nobody waits any longer
        self._close()
        self._book()
        self._pay_all()
        after = _midnight(_month_after(self.end.date()))
        self._clock.set(after - 3 * DAY)
        self._operator.vat_id_check(self.buyers["abroad"].organization)
        self._clock.set(after)
        self._nightly()
        self._close(after)
        self._pay_all()

    # Asking

    def _wave(self) -> list[tuple[Buyer, Wish]]:
        buyers = [buyer for buyer in self.buyers.values() for _ in range(self._each)]
        return [(buyer, self._wish()) for buyer in buyers]

    def _wish(self) -> Wish:
        """The next of all that there are to be asked, which come in turns."""
        if not self._deck:
            self._deck = self._random.sample(DECK, len(DECK))
        api, is_streamed, ending = self._deck.pop()
        random = self._random
        return Wish(
            api, words=random.randint(1, 120), tokens=random.randint(6, 24), ending=ending,
            cached=random.choice([0, 0, random.randint(1, 8)]), is_streamed=is_streamed,
            gets=random.randint(1, 5),
        )  # fmt: skip

    def _ask_over(self, midnight: datetime) -> None:
        """Streams that begin a second before `midnight`, and end when it is."""
        for ending in (Ending.WHOLE, Ending.CUT):
            self._clock.set(midnight - SECOND)
            buyer = self._random.choice(list(self.buyers.values()))
            api = self._random.choice(STREAMED)
            wish = Wish(api, tokens=12, is_streamed=True, ending=ending, gets=2, moves_to=midnight)
            self._ask_one(buyer, wish)
            self._clock.set(midnight)

    def _ask_one(self, buyer: Buyer, wish: Wish, key: str = "") -> Answer:
        (answer,) = self._ask([(buyer, wish)], key)
        return answer

    def _ask(self, wishes: Iterable[tuple[Buyer, Wish]], key: str = "") -> list[Answer]:
        """All at once; and wait until the gateways have told what was used."""
        answers = [
            Answer(f"{buyer.slug}-{next(self._ids)}", buyer.slug, wish, self._clock.now)
            for buyer, wish in wishes
        ]
        self._loop.run(self._all(answers, key))
        self.answers += answers
        wait_until(self._is_told, "all that was used is told", PATIENCE_S)
        return answers

    async def _all(self, answers: Sequence[Answer], key: str) -> None:
        keys = {slug: key or buyer.key for slug, buyer in self.buyers.items()}
        asks = (next(self._askers).ask(one, keys[one.buyer]) for one in answers)
        await asyncio.gather(*asks)

    def _is_told(self) -> bool:
        expected = sum(one.has_event for one in self.answers)
        return _waiting() + UsageEvent.objects.count() >= expected

    # The platform

    def _book(self) -> None:
        self._world.do(tasks.usage_ingest)
        assert not _waiting(), "not all usage is booked"

    def _booked(self) -> set[str]:
        return set(UsageEvent.objects.values_list("client_request_id", flat=True))

    def _nightly(self) -> None:
        """A little after midnight."""
        self._clock.set(_midnight(self._clock.now.date()) + AT_NIGHT)
        day = self._clock.now.date()
        for task in (*NIGHTLY, *(WEEKLY if day.weekday() == 0 or day.day == 1 else ())):
            self._world.do(task)

    def _close(self, end: datetime | None = None) -> None:
        """Close what is over; of what ended at `end`, gateways soon say that they told all."""
        if end:
            wait_until(lambda: usage_is_complete(end), "gateways say that it is all", PATIENCE_S)
        self._world.do(tasks.months_close)
        assert not _open_months(self._clock.now), "a month that is over is not closed"

    def _pay_all(self) -> None:
        for invoice in Invoice.objects.numbered().filter(kind=InvoiceKind.USAGE):
            if invoice.to_pay > 0:
                self._operator.pay(invoice.organization, invoice.to_pay, invoice)

    def _prices_known(self) -> None:
        """Gateways look for new prices when they are told to, and every few seconds, which are not
        in the hours that the clock leaps over.
        """
        snapshot_changed()
        for buyer in self.buyers.values():
            wanted = prices_by_model(self._clock.now, book_of(buyer.organization.pk))[CHAT_MODEL]
            found = {one.value: unit.price for one in Component if (unit := wanted.of(one))}
            for gateway in self._world.gateways:
                wait_until(
                    lambda at=gateway, key=buyer.key, price=found:  # type: ignore[misc]
                    self._world.prices(at, key) == price,
                    f"{gateway} knows the prices of {buyer.slug}",
                    PATIENCE_S,
                )  # fmt: skip

    def _on(self, day: int, hour: int = 0) -> datetime:
        return self.start + (day - 1) * DAY + timedelta(hours=hour)


def _waiting() -> int:
    """Records that are told and not booked."""
    with client().pipeline(transaction=False) as pipeline:
        for stream in STREAMS:
            pipeline.xlen(stream)
        lengths: list[Any] = pipeline.execute()
    return sum(lengths)


def _open_months(now: datetime) -> set[tuple[UUID, date]]:
    """Organizations and the months that they used something in, that were over then, and that are
    on no invoice.
    """
    days = UsageDay.objects.filter(amount__gt=0, day__lt=now.date().replace(day=1))
    used = {(owner, day.replace(day=1)) for owner, day in days.values_list("organization", "day")}
    invoices = Invoice.objects.numbered().filter(kind=InvoiceKind.USAGE)
    return used - set(invoices.values_list("organization", "period_start"))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _month_after(day: date) -> date:
    return Month(Month.of(day) + 1).start
