"""What must hold of a run once all of it lives again, and everything was brought to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import Sum

from billing.balances import balances_read
from billing.holds import scopes_state
from billing.models import (
    AccountKind,
    Outcome,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from tests.kills.customers import RPM
from tests.kills.load import Answer, Seen
from tests.kills.scene import Scene
from tests.kills.world import PRICES

BEHIND_S: Final = 1.75
"""A stream is written down each second; the rest is for a machine that has much else to do."""
BEHIND_TOKENS: Final = 256
BACK_S: Final = 6.0
"""So long after a store is back some may still be asked to try again."""
LATE: Final = {Outcome.COMPLETED, Outcome.CLIENT_DISCONNECT, Outcome.GATEWAY_CRASH}
"""How a request may end whose client saw no end of it."""


class Oracle:
    """Of one run. `breaks` says what does not hold; `owed` what is not booked yet."""

    def __init__(self, scene: Scene, given: Mapping[UUID, tuple[int, int]]) -> None:
        self._scene, self._given = scene, given
        self._urls = {gateway.url: gateway.name for gateway in scene.world.gateways}
        self._answers = scene.load.answers
        self.customers = scene.customers

    def owed(self) -> list[str]:
        """The answers that must have an event and have none."""
        known = {event.client_request_id for event in self._events()}
        return [
            one.id for one in self._answers if self._must_be_billed(one) and one.id not in known
        ]

    def breaks(self) -> list[str]:
        return [*self.billed(), *self._sums(), *self._counters(), *self._service()]

    def billed(self) -> Iterator[str]:
        """Of each answer and its event."""
        answers = {one.id: one for one in self._answers}
        times = Counter(event.client_request_id for event in self._events())
        yield from (f"{id_} has {count} events" for id_, count in times.items() if count > 1)
        yield from (f"{id_} is not billed" for id_ in self.owed())
        for event in self._events():
            answer = answers.get(event.client_request_id)
            if answer is None:
                yield f"event {event.request_id} is of no request"
            else:
                for why in self._wrong(answer, event):
                    yield f"{answer.id} ({answer.ended}, {event.outcome}): {why}"

    def _events(self) -> list[UsageEvent]:
        ids = [customer.id for customer in self._scene.customers]
        return list(UsageEvent.objects.filter(organization__in=ids))

    def _must_be_billed(self, answer: Answer) -> bool:
        if answer.ended == "finished":
            return True
        if answer.ended == "left" and not self._is_harmed(answer):
            return True
        return answer.status == 200 and self._least(answer) > 0

    def _least(self, answer: Answer) -> int:
        """Of a stream that broke, the tokens that must have been written down by then."""
        if answer.ended != "broken":
            return 0
        by_time = answer.tokens_by(answer.ended_at - BEHIND_S)
        return max(by_time, len(answer.tokens_at) - BEHIND_TOKENS)

    def _wrong(self, answer: Answer, event: UsageEvent) -> Iterator[str]:
        seen = Seen(event.input_tokens, event.cached_tokens, event.output_tokens)
        if event.request_id != (answer.request_id or event.request_id):
            yield f"its request was {answer.request_id}"
        if event.amount != amount_of(seen):
            yield f"{seen} costs {amount_of(seen)}, not {event.amount}"
        if answer.cost and Decimal(answer.cost) != event.amount:
            yield f"it was told to cost {answer.cost}, not {event.amount}"
        if answer.ended == "refused" and answer.status in {429, 503}:
            yield f"it was refused with {answer.status}"
        elif answer.ended == "finished":
            if (event.outcome, seen) != (Outcome.COMPLETED, answer.usage):
                yield f"{answer.usage} was seen, and {seen} is billed"
        else:
            yield from self._wrong_unfinished(answer, event, seen)

    def _wrong_unfinished(self, answer: Answer, event: UsageEvent, seen: Seen) -> Iterator[str]:
        read, made = self._given.get(event.request_id, (0, 0))
        if event.outcome not in LATE:
            yield "no request ends like this"
        if seen.input_tokens > read or seen.output_tokens > made:
            yield f"the engine gave {read} and {made}, and {seen} is billed"
        if seen.output_tokens < self._least(answer):
            yield f"{self._least(answer)} tokens were there long before, and {seen} is billed"
        if not self._is_harmed(answer) and seen.output_tokens < len(answer.tokens_at):
            yield f"the client got {len(answer.tokens_at)} tokens, and {seen} is billed"

    def _sums(self) -> Iterator[str]:
        """Events, hours, days and transfers are one number, and within what could be spent."""
        for customer in self._scene.customers:
            of = {"organization": customer.id}
            sums = [
                model._default_manager.filter(**of).aggregate(
                    a=Sum("amount"), t=Sum("output_tokens")
                )
                for model in (UsageEvent, UsageHour, UsageDay)
            ]
            if not sums[0] == sums[1] == sums[2]:
                yield f"{customer.kind}: events, hours, days: {sums}"
            revenue = Transfer.objects.filter(
                debit__organization=customer.id, credit__kind=AccountKind.REVENUE
            )
            posted, spent = revenue.aggregate(a=Sum("amount"))["a"] or 0, sums[0]["a"] or 0
            if posted != spent:
                yield f"{customer.kind}: {posted} in the books, {spent} used"
            most = self._scene.may_spend(customer)
            if most is not None and spent > most:
                yield f"{customer.kind}: spent {spent} of {customer.most}, and at most {most}"

    def _counters(self) -> Iterator[str]:
        """Nothing is held or unposted, and the balance is that of the books."""
        balances = balances_read([customer.id for customer in self._scene.customers])
        for customer in self._scene.customers:
            wanted = balances[customer.id].by_scope
            for scope, state in scopes_state(customer.id).items():
                if (state.held, state.unposted) != (0, 0):
                    yield f"{customer.kind} {scope}: {state} at rest"
                if state.balance != wanted.get(scope, state.balance):
                    yield f"{customer.kind} {scope}: {state}, by the books {wanted[scope]}"

    def _service(self) -> Iterator[str]:
        for answer in self._answers:
            if not self._is_harmed(answer) and (why := self._badly_served(answer)):
                yield f"{answer.id} of {answer.customer.kind} was {why}"
        yield from self._not_served()
        yield from self._served_after_waking()
        yield from self._over_rate()

    def _badly_served(self, answer: Answer) -> str:
        if answer.ended in {"finished", "left"}:
            return ""
        customer, said = answer.customer, f"{answer.ended} with {answer.status} {answer.code}"
        if answer.status == 429:
            is_due = customer.kind == "limited" if _is_rate(answer) else customer.is_near_its_end
            return "" if is_due else said
        if answer.status == 503 and answer.can_retry and not customer.is_free:
            return "" if self._is_valkey_away(answer) or self._is_new(answer) else said
        return said

    def _is_new(self, answer: Answer) -> bool:
        """Whether its gateway has just followed one that died, whose leases it still gives back:
        until then nobody can say that the money of a customer is at its end.
        """
        span = answer.began_at, answer.ended_at
        is_young = self._scene.is_troubled(self._urls[answer.url], *span, more_s=BACK_S)
        return is_young and answer.customer.is_near_its_end

    def _is_valkey_away(self, answer: Answer) -> bool:
        span = answer.began_at, answer.ended_at
        return self._scene.is_troubled("valkey", *span, more_s=BACK_S)

    def _is_harmed(self, answer: Answer) -> bool:
        """Whether its gateway was away or not itself meanwhile."""
        span = answer.began_at, answer.ended_at
        return self._scene.is_troubled(self._urls[answer.url], *span)

    def _not_served(self) -> Iterator[str]:
        for kind, span in self._scene.must_serve:
            within = [
                one.ended
                for one in self._answers
                if one.customer.kind == kind and span.start <= one.began_at <= span.end
            ]
            if "finished" not in within:
                yield f"{kind} was not served from {span.start} to {span.end}: {Counter(within)}"

    def _served_after_waking(self) -> Iterator[str]:
        for url, (froze_at, woke_at) in ((one.url, one.span) for one in self._scene.woken):
            for answer in self._answers:
                if answer.url == url and answer.began_at < froze_at and answer.tokens_at:
                    late = len(answer.tokens_at) - answer.tokens_by(woke_at)
                    if late:
                        yield f"{answer.id} got {late} tokens from a gateway given up for dead"

    def _over_rate(self) -> Iterator[str]:
        """Without Valkey each gateway counts by itself."""
        if self._scene.trouble["valkey"] or self._scene.has_forgotten:
            return
        mine = [one for one in self._answers if one.customer.kind == "limited"]
        served = [one for one in mine if one.status == 200]
        if served:
            minutes = (max(one.began_at for one in mine) - mine[0].began_at) / 60
            if len(served) > RPM * (1 + minutes) + 1:
                yield f"limited: {len(served)} served of {RPM} a minute in {minutes:.2f}"


def amount_of(seen: Seen) -> Decimal:
    """EUR, to the digit."""
    whole = seen.input_tokens - seen.cached_tokens
    parts = zip(PRICES.values(), (whole, seen.cached_tokens, seen.output_tokens), strict=True)
    return sum((price * tokens for price, tokens in parts), Decimal(0)) / 10**6


def _is_rate(answer: Answer) -> bool:
    return answer.code == "rate_limit_exceeded"
