"""Whether every token is booked: what waits, what was set aside, what does not add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing.halts import halted_read, model_release
from billing.health import MeteringHealth, SpoolSeen, metering_health
from billing.ingest import dead_retry
from billing.models import ModelHalt
from billing.price_books import LISTED, buyers_of
from billing.pricing import NO_PRICES, Prices, prices_by_model
from console.access import operator_page
from console.currencies import Money, in_order
from console.http import OperatorRequest
from console.templatetags.ui import number, seconds
from console.views.operator.health import Problem
from inference.models import Model

LATE_S: Final = 60
"""Usage that waits longer is news."""


@dataclass(frozen=True, slots=True)
class HaltRow:
    """A model that is not served, and whether it could be: each of its components has a rate."""

    halt: ModelHalt
    is_priced: bool
    is_known: bool


@require_safe
@vary_on_headers("HX-Request")
@operator_page
def operator_metering(request: OperatorRequest) -> HttpResponse:
    """The whole page, or for htmx the parts of it that are live."""
    health = metering_health()
    context = {
        "now": timezone.now(),
        "health": health,
        "held": _by_currency(health.holds.held_nano) if health.holds else [],
        "leased": _by_currency(health.leases.leased_nano),
        "halts": _halt_rows(health),
        "problems": list(metering_problems(health)),
    }
    part = "_metering_live" if request.htmx else "metering"
    return render(request, f"console/operator/{part}.html", context)


def _by_currency(nano: Mapping[UUID, int]) -> list[Money]:
    """What organizations have of something, added up for each currency."""
    sums, buyers = dict[str, Decimal](), buyers_of(nano)
    for pk, part in nano.items():
        currency = buyers.get(pk, LISTED).currency
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(part).scaleb(-9)
    return [Money(sums[currency], currency) for currency in in_order(sums)]


@require_POST
@operator_page
def operator_dead_retry(request: OperatorRequest) -> HttpResponse:
    """Book what was set aside and can be booked now."""
    count = dead_retry()
    words = ngettext("%(n)s record was booked.", "%(n)s records were booked.", count)
    messages.info(request, words % {"n": number(count)})
    return redirect("operator_metering")


@require_POST
@operator_page
def operator_model_release(request: OperatorRequest, halt: int) -> HttpResponse:
    """Let gateways serve a model again that has a price for all that it bills."""
    found = get_object_or_404(ModelHalt, pk=halt)
    if _halt_row(found, prices_by_model(timezone.now())).is_priced:
        _release(request, found)
    else:
        said = _("%(model)s lacks a rate: set it first, then release the model.")
        messages.error(request, said % {"model": found.model})
    return redirect("operator_metering")


def _release(request: OperatorRequest, halt: ModelHalt) -> None:
    try:
        model_release(actor=request.user, halt=halt)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return
    booked = {"model": halt.model, "count": number(dead_retry())}
    if halt.model in halted_read():
        said = _("%(model)s is halted again: what waits was used before its rates begin.")
        messages.error(request, said % booked)
    else:
        messages.success(request, _("%(model)s is served again. Booked: %(count)s.") % booked)


def metering_problems(health: MeteringHealth) -> Iterator[Problem]:
    """What an operator must look at, worst first."""
    if health.is_away:
        yield _problem(
            _("Valkey does not answer."), _("What waits to be booked is not known."), "#figures"
        )
    if away := health.leases.spenders:
        said = ngettext(
            "%(n)s gateway counts without Valkey.", "%(n)s gateways count without Valkey.", away
        )
        means = _("Who has a limit of money is served from credit that gateways set apart.")
        yield _problem(said % {"n": number(away)}, means, "#figures")
    for halt in health.halts:
        said = _("%(model)s is halted: it was used without a price.") % {"model": halt.model}
        means = _("Requests for it are refused until it is priced and released.")
        yield _problem(said, means, "#halts")
    if health.set_aside:
        said = ngettext(
            "%(n)s usage record is set aside.",
            "%(n)s usage records are set aside.",
            health.set_aside,
        )
        count = {"n": number(health.set_aside)}
        yield _problem(said % count, _("It is not billed yet."), "#halts")
    if health.lag_s > LATE_S:
        said = _("Usage waits since %(age)s to be booked.") % {"age": seconds(health.lag_s)}
        yield _problem(said, _("Budgets and pages lag behind: is a worker running?"), "#figures")
    for spool in health.spools:
        if spool.closed_by:
            said = _("Gateway %(gateway)s refuses requests.") % {"gateway": spool.gateway}
            yield _problem(said, _shut_because(spool), "#spools")
    if health.drifts or (health.books and health.books.differences):
        said = _("Numbers that should be equal are not.")
        yield _problem(said, _("Each is listed."), "#drifts")


def _shut_because(spool: SpoolSeen) -> str:
    """Why it takes nothing new, and what ends that: it opens by itself."""
    match spool.closed_by:
        case "full":
            return _("Less than SPOOL_MIN_FREE_MB are left on the disk of its spool: make room.")
        case "slow":
            return _("The disk of its spool takes longer than SPOOL_SLOW_S: see what else uses it.")
        case _:
            return _("The disk of its spool answers with errors: its log has them, spool.failed.")


def _problem(what: str, means: str, place: str) -> Problem:
    return Problem(what, means, reverse("operator_metering") + place, _("Show"))


def _halt_rows(health: MeteringHealth) -> list[HaltRow]:
    prices = prices_by_model(timezone.now()) if health.halts else {}
    return [_halt_row(halt, prices) for halt in health.halts]


def _halt_row(halt: ModelHalt, prices: Mapping[str, Prices]) -> HaltRow:
    model = Model.objects.filter(public_id=halt.model).first()
    rates = prices.get(halt.model, NO_PRICES)
    return HaltRow(
        halt,
        is_priced=model is not None and rates.covers(model.components),
        is_known=model is not None,
    )
