"""Where two that count the same tokens do not say the same: of whom, and on which day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, F, Sum

from billing.ledger import books_check, wallet_read
from billing.ledger.check import batches_check, invoices_check
from billing.models import (
    Balance,
    Component,
    Currency,
    Drift,
    DriftKind,
    InvoiceLine,
    LineKind,
    Outcome,
    UsageEvent,
    VatTreatment,
)
from tests.month import counts
from tests.month.asking import Answer, Api, Ending, Told
from tests.month.counts import Given, Key, Sums
from tests.month.story import Story

_OUTCOMES = {
    Ending.WHOLE: Outcome.COMPLETED,
    Ending.CUT: Outcome.CLIENT_DISCONNECT,
    Ending.BROKEN: Outcome.UPSTREAM_ERROR,
}

_ASKED = {(api, how) for api in Api for how in (False, True)} - {(Api.EMBEDDINGS, True)}
_LINES = set(LineKind) - {LineKind.TOP_UP}
_TREATMENTS = {VatTreatment.DOMESTIC, VatTreatment.REVERSE_CHARGE, VatTreatment.CONSUMER}


def differences(story: Story, given: Given) -> list[str]:
    """All of them; none is what should be."""
    return [
        *_of_requests(story.answers, given),
        *_of_sums(counts.of_answers(story.answers, given)),
        *_of_batches(),
        *_of_books(story),
    ]


def unproven(story: Story) -> Iterator[str]:
    """What a month must have had for all this to mean anything, and had not."""
    lines = InvoiceLine.objects.filter(invoice__in=counts.invoices()).order_by()
    prices = lines.filter(component=Component.OUTPUT).values("model", "organization", "month")
    turned = prices.annotate(prices=Count("unit_price", distinct=True)).filter(prices__gt=1)
    had = {
        *(one.ending for one in story.answers),
        *((one.wish.api, one.wish.is_streamed) for one in story.answers if one.told),
        *lines.values_list("kind", flat=True).distinct(),
        *counts.invoices().values_list("vat_treatment", flat=True).distinct(),
        *counts.invoices().values_list("currency", flat=True).distinct(),
        *(["prices that turned"] if turned.exists() else []),
    }
    wanted = {*Ending, *_ASKED, *_LINES, *_TREATMENTS, *Currency, "prices that turned"}
    yield from (f"the month has had none of this: {one}" for one in sorted(map(str, wanted - had)))


def imbalance() -> Decimal:
    """By how much debits are not credits, over all currencies."""
    sides = Balance.objects.values_list("account__currency").annotate(
        left=Sum(F("debits_posted") - F("credits_posted"))
    )
    return sum((abs(difference) for _, difference in sides), Decimal(0))


def _of_requests(answers: Iterable[Answer], given: Given) -> Iterator[str]:
    """Each has one event, or none, and that is of its tokens, its ending and its time."""
    events = {one.client_request_id: one for one in UsageEvent.objects.all()}
    for answer in answers:
        event = events.pop(answer.id, None)
        for why in _wrong(answer, event, given):
            yield f"{_of(answer)}: request {answer.id}, {answer.ending}: {why}"
    for event in events.values():
        yield f"{event.organization.slug}, {event.occurred_at:%Y-%m-%d}: an event of no request"


def _wrong(answer: Answer, event: UsageEvent | None, given: Given) -> Iterator[str]:
    if event is None:
        if answer.has_event:
            yield f"the SDK saw {counts.tokens_of(answer, given)} tokens, and there is no event"
        return
    if answer.ending not in _OUTCOMES:
        yield f"it was not served, and there is an event of it, {event.outcome}"
        return
    if event.outcome != _OUTCOMES[answer.ending]:
        yield f"its event says that it is {event.outcome}"
    found, wanted = _told(event), answer.told or Told(given[answer.request_id][0], 0, answer.got)
    if answer.told is None:  # how much was cached, only the end of a stream tells
        found = found._replace(cached=0)
        if given[answer.request_id][1] != answer.got:
            yield f"{answer.got} tokens came, and the engine gave {given[answer.request_id][1]}"
    if found != wanted:
        yield f"the SDK saw {wanted}, and the event has {_told(event)}"
    assert answer.ended
    if not answer.began <= event.admitted_at <= event.occurred_at <= answer.ended:
        yield f"it ran from {answer.began} to {answer.ended}, and the event was at another time"


def _of_sums(answers: Mapping[Key, Sums]) -> Iterator[str]:
    events = counts.of_events()
    yield from _compared(
        "SDK", answers, "events", events, lambda one: replace(one, amount=Decimal(0))
    )
    rollups: Callable[[Sums], Sums] = lambda one: replace(one, free=0)  # noqa: E731
    yield from _compared("events", events, "hours", counts.of_hours(), rollups)
    yield from _compared("hours", counts.of_hours(), "days", counts.of_days(), rollups)
    yield from _compared("events", events, "usage.csv", counts.of_papers(), lambda one: one)
    yield from _compared(
        "events", counts.by_month(events), "invoice lines", counts.of_lines(), lambda one: one
    )


def _compared(
    name: str,
    these: Mapping[Key, Sums],
    other_name: str,
    others: Mapping[Key, Sums],
    seen_as: Callable[[Sums], Sums],
) -> Iterator[str]:
    for key in sorted({*these, *others}):
        one, other = (seen_as(found.get(key, Sums())) for found in (these, others))
        if one != other:
            yield f"{_key(key)}: {name} have {_words(one)}, {other_name} {_words(other)}"


def _of_batches() -> Iterator[str]:
    """What the books have drawn for a batch is what its requests cost."""
    used, posted = counts.of_batches()
    for slug, batch in sorted({*used, *posted}):
        cost, drawn = (found.get((slug, batch), Decimal(0)) for found in (used, posted))
        if cost != drawn:
            yield f"{slug}, {_days_of(batch)}: events cost {cost}, the ledger has {drawn}"


def _days_of(batch: UUID) -> str:
    days = UsageEvent.objects.filter(batch_id=batch).order_by().dates("occurred_at", "day")
    return " and ".join(f"{day}" for day in days) or f"batch {batch}"


def _of_books(story: Story) -> Iterator[str]:
    """All balances are those of their transfers, and nothing is left to bill or to be paid."""
    for one in (*books_check(), *batches_check(story.start), *invoices_check()):
        yield f"books: {one}"
    for drift in Drift.objects.exclude(kind=DriftKind.BACKEND):
        yield f"drift, {drift.at:%Y-%m-%d}: {drift}: {drift.expected} and {drift.found}"
    for slug, buyer in story.buyers.items():
        wallet = wallet_read([buyer.organization.pk])[buyer.organization.pk]
        if wallet.unbilled or wallet.receivable:
            yield f"{slug}: {wallet.unbilled} unbilled and {wallet.receivable} unpaid at the end"


def _told(event: UsageEvent) -> Told:
    return Told(event.input_tokens, event.cached_tokens, event.output_tokens)


def _of(answer: Answer) -> str:
    assert answer.ended
    return _key((answer.buyer, answer.ended.date()))


def _key(key: tuple[str, date]) -> str:
    return f"{key[0]}, {key[1]}"


def _words(sums: Sums) -> str:
    return f"{sums.requests} requests, {sums.tokens} tokens, {sums.free} free, {sums.amount:f}"
