"""What a month came to: a small table, and its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from billing.models import Currency
from billing.plans import currency_of
from tests.month import counts
from tests.month.asking import Ending
from tests.month.checks import differences, imbalance, unproven
from tests.month.counts import Given, Sums, total
from tests.month.papers import Papers
from tests.month.story import Story

type Money = Mapping[str, Decimal]
"""By currency."""

_SHOWN: Final = {
    Ending.WHOLE: "SDK: whole answers",
    Ending.CUT: "SDK: cut by the client",
    Ending.BROKEN: "SDK: broken, free",
}


class Row(NamedTuple):
    """What one counts; `money` is empty where it knows of none, `sums` where it is of money."""

    name: str
    sums: Sums
    money: Money


@dataclass(frozen=True)
class Report:
    numbers: Mapping[str, int | float]
    rows: list[Row]
    endings: Mapping[str, int]
    wrong: list[str]

    def lines(self) -> Iterator[str]:
        heads = "".join(f"{currency:>20}" for currency in Currency)
        yield f"{'':22}{'requests':>10}{'tokens':>10}{heads}"
        for name, sums, money in self.rows:
            sides = "".join(f"{money[one]:20.12f}" for one in Currency if one in money)
            yield f"{name:22}{_shown(sums.requests):>10}{_shown(sums.tokens):>10}{sides}"
        yield ", ".join(f"{count:,} {ending}" for ending, count in self.endings.items())
        yield ", ".join(f"{name} {number:,}" for name, number in self.numbers.items())
        yield from self.wrong


def report_make(story: Story, given: Given, papers: Papers) -> Report:
    wrong = [*differences(story, given), *unproven(story), *papers.wrong]
    rows = list(_rows(story, given))
    sums = {row.name: row.sums for row in rows}
    sdk, events = sums["SDK"], sums["events"]
    numbers: dict[str, int | float] = {
        "sdk_tokens": sdk.billed,
        "event_tokens": events.billed,
        "rollup_tokens": sums["days"].tokens - events.free,
        "invoice_tokens": sums["invoice lines"].tokens,
        "ledger_imbalance": float(imbalance()),
        "invoices": papers.invoices,
        "verified": papers.verified,
        "cut_tokens": sums[_SHOWN[Ending.CUT]].tokens,
        "free_tokens": sdk.free,
        "requests": len(story.answers),
        "late_requests": len(story.lates),
        "days": story.days,
        "differences": len(wrong),
    }
    endings = Counter(str(one.ending) for one in story.answers)
    return Report(numbers, rows, endings, wrong)


def _rows(story: Story, given: Given) -> Iterator[Row]:
    for ending, name in _SHOWN.items():
        some = [one for one in story.answers if one.ending is ending]
        yield Row(name, total(counts.of_answers(some, given).values()), {})
    yield Row("SDK", total(counts.of_answers(story.answers, given).values()), {})
    currencies = {slug: currency_of(one.organization.pk) for slug, one in story.buyers.items()}
    for name, count in counts.COUNTED.items():
        found = count()
        amounts = ((currencies[slug], sums.amount) for (slug, _), sums in found.items())
        yield Row(name, total(found.values()), _summed(amounts))
    _, posted = counts.of_batches()
    yield Row("ledger", Sums(), _summed((currencies[slug], n) for (slug, _), n in posted.items()))


def _summed(amounts: Iterable[tuple[str, Decimal]]) -> Money:
    found = dict.fromkeys(map(str, Currency), Decimal(0))
    for currency, amount in amounts:
        found[currency] += amount
    return found


def _shown(number: int) -> str:
    return f"{number:,}" if number else ""
