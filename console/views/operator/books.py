"""The books: whether they are even, their accounts and transfers, and the requests behind one."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from kombu.exceptions import OperationalError

from billing import tasks
from billing.health import books_checked
from billing.models import Account, AccountKind, Transfer
from console.access import operator_page
from console.audit_reasons import reason_first
from console.books import (
    SOURCES,
    Balanced,
    Drill,
    accounts_of,
    batch_events,
    transfers_of,
    trial_balances,
)
from console.filters import filter_read
from console.http import OperatorRequest
from console.operator_forms import OfOneForm
from console.views.operator.paging import after_of, id_of, page_of

CURRENCIES: Final = (("EUR", "EUR"), ("SEK", "SEK"))


@require_safe
@operator_page
def operator_books(request: OperatorRequest) -> HttpResponse:
    """What all accounts add up to, by currency, and the last time that it was computed anew."""
    context = {"balances": trial_balances(), "checked": books_checked()}
    return render(request, "console/operator/books.html", context)


@require_POST
@operator_page
def operator_books_check(request: OperatorRequest) -> HttpResponse:
    """Compute all balances anew from the transfers, now and not at night."""
    try:
        tasks.books_verify.apply_async(retry=False)
    except OperationalError:
        messages.error(request, _("Valkey does not answer, so no worker hears of it. Try later."))
    else:
        messages.info(request, _("The books are computed anew. What comes out shows here."))
    return redirect("operator_books")


@require_safe
@operator_page
def operator_accounts(request: OperatorRequest) -> HttpResponse:
    search = request.GET.get("q", "").strip()
    kind = filter_read(request, "kind", AccountKind.choices, label=_("Kind"), every=_("Every kind"))
    currency = filter_read(
        request, "currency", CURRENCIES, label=_("Currency"), every=_("Every currency")
    )
    found = accounts_of(kind=kind.value, currency=currency.value, search=search)
    page = page_of(found, unique="id", order="-owed", after=after_of(request))
    context = {
        "search": search,
        "filters": [kind, currency],
        "is_filtered": search or kind.value or currency.value,
        "page": page,
        "rows": [Balanced(account) for account in page.rows],
    }
    return render(request, "console/operator/accounts.html", context)


@require_safe
@operator_page
def operator_transfers(request: OperatorRequest) -> HttpResponse:
    """Transfers, the newest first: of one account or organization, of a code or a source."""
    search = request.GET.get("q", "").strip()
    form = OfOneForm(request.GET)
    tenant = form.tenant if form.is_valid() else None
    source = filter_read(request, "source", SOURCES, label=_("Of"), every=_("Of all"))
    account = _account(request.GET.get("account", ""))
    found = transfers_of(account=account, organization=tenant, source=source.value, search=search)
    context: dict[str, Any] = {
        "form": form,
        "search": search,
        "filters": [source],
        "is_filtered": search or source.value or account or request.GET.get("organization"),
        "account": account and Balanced(account),
        "tenant": tenant,
        "page": page_of(found, unique="id", order="-created_at", after=after_of(request)),
    }
    return render(request, "console/operator/transfers.html", context)


@require_safe
@operator_page
def operator_transfer(request: OperatorRequest, transfer: UUID) -> HttpResponse:
    """One transfer: its two sides, what it is of, and what was booked with it."""
    context = {"drill": Drill(_transfer(transfer))}
    return render(request, "console/operator/transfer.html", context)


@require_safe
@operator_page
def operator_transfer_events(request: OperatorRequest, transfer: UUID) -> HttpResponse:
    """The requests behind a transfer of usage, whose amounts are its amount."""
    drill = Drill(_transfer(transfer))
    if drill.organization is None or drill.transfer.batch_id is None:
        raise Http404
    if asked := reason_first(request, drill.organization):
        return asked
    found = batch_events(drill)
    page = page_of(found.events, unique="request_id", order="-occurred_at", after=after_of(request))
    context = {"drill": drill, "found": found, "page": page}
    return render(request, "console/operator/transfer_events.html", context)


def _transfer(pk: UUID) -> Transfer:
    whole = Transfer.objects.select_related(
        "debit__organization", "credit__organization", "pending"
    )
    return get_object_or_404(whole, pk=pk)


def _account(text: str) -> Account | None:
    """The one that the address names; 404 for what is none."""
    if not text:
        return None
    found = Account.objects.select_related("organization", "balance")
    return get_object_or_404(found, pk=id_of(text) or UUID(int=0))
