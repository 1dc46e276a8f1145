"""Price books: what models cost in each, what is proposed and missing, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Component, PriceBook, Rate
from billing.price_books import (
    Preview,
    price_book_create,
    price_book_update,
    rate_approve,
    rate_preview,
    rate_propose,
    rate_withdraw,
    tiers_set,
)
from console.access import operator_page
from console.currencies import amounts_in
from console.forms import is_taken
from console.http import OperatorRequest
from console.price_forms import BookEditForm, BookForm, BookRateForm, TiersForm
from console.price_rows import books_listed, gaps, price_rows, proposals, rate_state
from console.sheets import Sheet, act_answer, sent, sheet_answer
from console.step_up import stepped_up
from console.views.operator.answers import day_of
from inference.models import Model
from tenants.models import Organization


@require_safe
@operator_page
def operator_prices(request: OperatorRequest) -> HttpResponse:
    """Every book, what waits for a second person, and what has no price."""
    now = timezone.now()
    context = {"books": books_listed(), "proposals": proposals(), "gaps": gaps(now)}
    return render(request, "console/operator/prices.html", context)


@require_safe
@operator_page
def operator_price_book(request: OperatorRequest, book: str) -> HttpResponse:
    """What each model costs in a book now."""
    found = _book(book)
    search = request.GET.get("q", "").strip()
    context = {
        "book": found,
        "search": search,
        "rows": price_rows(found, search, timezone.now()),
        "components": [component.label for component in Component],
        "tiers": found.tiers.all(),
        "plans": found.plans.all(),
        "terms": found.terms.select_related("organization")[:50],
        "proposals": proposals().filter(book=found),
    }
    with amounts_in(found.currency):
        return render(request, "console/operator/price_book.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_price_book_add(request: OperatorRequest) -> HttpResponse:
    form = BookForm(sent(request))
    sheet = Sheet(
        title=_("Add a price book"),
        sub=_("It costs what its parent does, but where it has rates of its own."),
        act=_("Add book"),
        back=reverse("operator_prices"),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: price_book_create(actor=request.user, **form.cleaned_data),
        said=_("The book is there. Give it rates, then put it on a plan or an organization."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_price_book_edit(request: OperatorRequest, book: str) -> HttpResponse:
    found = _book(book)
    form = BookEditForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Edit %(name)s") % {"name": found},
        sub=_("The prices in it stay as they are."),
        act=_("Save"),
        back=_page(found),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: price_book_update(actor=request.user, book=found, **form.cleaned_data),
        said=_("Saved."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_price_tiers(request: OperatorRequest, book: str) -> HttpResponse:
    """What is let off of a large month."""
    found = _book(book)
    form = TiersForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Volume discounts of %(name)s") % {"name": found},
        sub=_("Taken off on the invoice of a month, from the next one that is closed on."),
        act=_("Save"),
        back=_page(found),
        keep=_("Cancel"),
        facts=[(_("Organizations"), str(_buyers(found)))],
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: tiers_set(actor=request.user, book=found, tiers=form.cleaned_data["tiers"]),
        said=_("Saved."),
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """The effect of a price, with the names of those whom it reaches most."""

    preview: Preview

    @property
    def rows(self) -> list[tuple[Organization, Any]]:
        effects = self.preview.effects[:20]
        found = Organization.objects.in_bulk([one.organization_id for one in effects])
        return [(found[one.organization_id], one) for one in effects]


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_price(request: OperatorRequest, book: str, model: str) -> HttpResponse:
    """The rates of a model in a book: before, now and later. A price is shown with what it would
    have changed before it is set.
    """
    found, of, now = _book(book), get_object_or_404(Model, public_id=model), timezone.now()
    form = BookRateForm(of, request.POST if request.method == "POST" else None)
    shown = None
    if form.is_valid():
        typed = form.cleaned_data
        if "set" in request.POST and is_taken(form, lambda: _propose(request, found, of, form)):
            return redirect("operator_price", book=found.slug, model=of.public_id)
        component = Component(typed["component"])
        shown = Shown(
            rate_preview(
                book=found,
                model=of.public_id,
                component=component,
                price=typed["price"],
                now=now,
            )
        )
    rates = Rate.objects.filter(book=found, model=of.public_id)
    rates = rates.select_related("created_by", "approved_by").order_by("-valid", "component")
    context = {
        "book": found,
        "model": of,
        "form": form,
        "shown": shown,
        "history": [(rate, rate_state(rate, now)) for rate in rates],
        "day": day_of(of),
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    with amounts_in(found.currency):
        return render(request, "console/operator/price.html", context, status=status)


@require_POST
@operator_page
@stepped_up
def operator_rate_approve(request: OperatorRequest, rate: UUID) -> HttpResponse:
    found = get_object_or_404(Rate, pk=rate)
    return act_answer(
        request,
        lambda: rate_approve(actor=request.user, rate=found),
        said=_("The price is approved."),
        to=reverse("operator_prices"),
    )


@require_POST
@operator_page
@stepped_up
def operator_rate_withdraw(request: OperatorRequest, rate: UUID) -> HttpResponse:
    found = get_object_or_404(Rate, pk=rate)
    return act_answer(
        request,
        lambda: rate_withdraw(actor=request.user, rate=found),
        said=_("The proposal is taken back."),
        to=reverse("operator_prices"),
    )


def _propose(request: OperatorRequest, book: PriceBook, model: Model, form: BookRateForm) -> None:
    typed = form.cleaned_data
    rate = rate_propose(
        actor=request.user,
        book=book,
        model=model.public_id,
        component=Component(typed["component"]),
        price=typed["price"],
        valid_from=typed["valid_from"],
        valid_until=typed["valid_until"],
    )
    said = _("The price is set.") if rate.approved_at else _("Proposed: a second person approves.")
    messages.success(request, said)


def _book(slug: str) -> PriceBook:
    return get_object_or_404(PriceBook.objects.select_related("parent", "organization"), slug=slug)


def _page(book: PriceBook) -> str:
    return reverse("operator_price_book", args=[book.slug])


def _buyers(book: PriceBook) -> int:
    """Organizations that buy by it: of its plans, and by terms of their own."""
    of_plans = sum(plan.terms.filter(book=None).count() for plan in book.plans.all())
    return of_plans + book.terms.count()
