"""What customers paid, what failed, and money that goes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import stripe_client
from billing.models import (
    OutboxItem,
    Payment,
    PaymentKind,
    PaymentState,
    Provider,
    Refund,
    WebhookEvent,
)
from billing.payments import excess_return, payment_refund, refund_again
from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.money_forms import ExcessForm, RefundForm
from console.sheets import Sheet, act_answer, sent, sheet_answer
from console.step_up import stepped_up
from console.templatetags.ui import money_in
from console.views.operator.paging import after_of, page_of

RECENT: Final = timedelta(days=30)
KINDS: Final = {
    PaymentState.PAID: "ok",
    PaymentState.FAILED: "bad",
    PaymentState.NEEDS_ACTION: "warn",
    PaymentState.PENDING: "warn",
}
"""Their colours; the others are idle."""
EXCESS: Final = "excess"
"""Stands among the states for what waits to be given back."""


@dataclass(frozen=True, slots=True)
class PaymentRow:
    payment: Payment

    @property
    def kind(self) -> str:
        return KINDS.get(PaymentState(self.payment.state), "idle")


@dataclass(frozen=True, slots=True)
class Received:
    """Of one currency in the last 30 days, VAT included."""

    currency: str
    paid: Decimal
    refunded: Decimal


@require_safe
@operator_page
def operator_payments(request: OperatorRequest) -> HttpResponse:
    """All payments, the newest first; `state=failed` are those to look at."""
    search = request.GET.get("q", "").strip()
    states = [*PaymentState.choices, (EXCESS, _("Paid too much"))]
    state = filter_read(request, "state", states, label=_("State"), every=_("Every state"))
    kind = filter_read(request, "kind", PaymentKind.choices, label=_("For"), every=_("For all"))
    found = _matching(search, state.value, kind.value)
    page = page_of(found, unique="id", order="-created_at", after=after_of(request))
    since = timezone.now() - RECENT
    context = {
        "search": search,
        "filters": [state, kind],
        "is_filtered": search or state.value or kind.value,
        "page": page,
        "rows": [PaymentRow(payment) for payment in page.rows],
        "received": received(since),
        "counts": _counts(since),
        "has_stripe": stripe_client.is_on(),
    }
    return render(request, "console/operator/payments.html", context)


@require_safe
@operator_page
def operator_payment(request: OperatorRequest, payment: UUID) -> HttpResponse:
    """One payment: its states, money that went back, and what Stripe was told and said of it."""
    found = _payment(payment)
    context = {
        "row": PaymentRow(found),
        "payment": found,
        "tenant": found.organization,
        "refunds": found.refunds.all(),
        "told": OutboxItem.objects.filter(
            organization=found.organization, entity__contains=str(found.pk)
        ),
        "heard": _heard(found),
        "booked_as": booked_as(found),
    }
    return render(request, "console/operator/payment.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_payment_refund(request: OperatorRequest, payment: UUID) -> HttpResponse:
    """Pay some of it back, with a credit note."""
    found = _payment(payment)
    form = RefundForm.of_payment(found, sent(request))
    sheet = Sheet(
        title=_("Pay back to %(name)s") % {"name": found.organization},
        sub=_("A credit note is issued, and the money goes the way it came, with its VAT. What "
              "came by bank you transfer yourself."),
        act=_("Pay back"),
        back=_page(found),
        keep=_("Cancel"),
        facts=[
            (_("Paid"), money_in(found.total, found.currency)),
            (_("Paid back so far"), money_in(found.refunded, found.currency)),
            (_("At most, with VAT"), money_in(found.refundable, found.currency)),
        ],
        is_danger=True,
    )  # fmt: skip
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: payment_refund(actor=request.user, payment=found, **form.cleaned_data),
        said=_("It is paid back."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_payment_excess(request: OperatorRequest, payment: UUID) -> HttpResponse:
    """Give back what was paid too much."""
    found = _payment(payment)
    form = ExcessForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Give back to %(name)s") % {"name": found.organization},
        sub=_("More came than was open of the invoice, as when it was paid twice. As credit it is "
              "a payment in advance, with VAT and an invoice of its own."),
        act=_("Give back"),
        back=_page(found),
        keep=_("Cancel"),
        facts=[
            (_("Paid"), money_in(found.total, found.currency)),
            (_("Too much"), money_in(found.excess, found.currency)),
        ],
        is_danger=True,
    )  # fmt: skip
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: excess_return(actor=request.user, payment=found, **form.cleaned_data),
        said=_("It is given back."),
    )


@require_POST
@operator_page
@stepped_up
def operator_refund_again(request: OperatorRequest, refund: UUID) -> HttpResponse:
    """Try one that failed once more."""
    found = get_object_or_404(Refund.objects.select_related("payment"), pk=refund)
    return act_answer(
        request,
        lambda: refund_again(actor=request.user, refund=found),
        said=_("It is tried again."),
        to=_page(found.payment),
    )


def _payment(pk: UUID) -> Payment:
    whole = Payment.objects.select_related("organization", "invoice")
    return get_object_or_404(whole, pk=pk)


def _page(payment: Payment) -> str:
    return reverse("operator_payment", args=[payment.pk])


def booked_as(payment: Payment) -> str:
    """What its transfers are for, as they name it."""
    if payment.kind == PaymentKind.INVOICE or payment.provider == Provider.MANUAL:
        return f"{payment.provider}:{payment.reference}"
    return payment.stripe_payment_intent


def received(since: datetime) -> list[Received]:
    """What came in since, by currency."""
    rows = Payment.objects.filter(paid_at__gte=since).order_by("currency").values_list("currency")
    return [Received(*row) for row in rows.annotate(Sum("total"), Sum("refunded"))]


def _matching(search: str, state: str, kind: str) -> QuerySet[Payment]:
    found = Payment.objects.select_related("organization")
    if search:
        named = Q(organization__name__icontains=search) | Q(organization__slug=search.lower())
        theirs = Q(stripe_payment_intent=search) | Q(stripe_checkout_session=search)
        found = found.filter(named | theirs | Q(reference__iexact=search))
    if state == EXCESS:
        found = found.filter(excess__gt=0)
    elif state:
        found = found.filter(state=state)
    return found.filter(kind=kind) if kind else found


def _counts(since: datetime) -> dict[str, int]:
    """Of each state since."""
    rows = Payment.objects.filter(created_at__gte=since).order_by().values_list("state")
    return dict(rows.annotate(Count("pk")))


def _heard(payment: Payment) -> Iterable[WebhookEvent]:
    ids = {payment.stripe_payment_intent, payment.stripe_checkout_session} - {""}
    found = WebhookEvent.objects.filter(object_id__in=ids)
    return found.order_by("received_at")[:50] if ids else []
