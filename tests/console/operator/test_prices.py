"""Price books on the operator's pages."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Component, PriceBook, Rate, Terms
from billing.price_books import list_book, price_book_create
from billing.services import rate_set
from inference import control
from inference.models import Model, Task
from tenants import services
from tenants.models import StaffRole
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.operator.conftest import Book, text_of

URL = "/operator/prices/"
OWN = {"component": "output", "price": "0.2", "valid_from": "", "valid_until": ""}


@pytest.fixture
def own(cast: Cast) -> PriceBook:
    """Acme buys by a book of its own."""
    made = price_book_create(
        actor=None, slug="acme", name="Acme 2027", parent=list_book(), organization=cast.acme
    )
    Terms.objects.create(organization=cast.acme, book=made)
    return made


def test_a_book_is_added_and_costs_what_its_parent_does(
    operator: Client, cast: Cast, model: Model
) -> None:
    typed = {"name": "Partners", "slug": "partners", "parent": str(list_book().pk)}
    assert operator.post(f"{URL}add/", typed | {"organization": "nobody"}).status_code == 422
    operator.post(f"{URL}add/", typed | {"organization": ""})

    page = text_of(operator.get(f"{URL}partners/"))

    assert "€0.25" in page
    assert "Complete" in page
    assert "Partners" in text_of(operator.get(URL))
    assert "exists already" in text_of(operator.post(f"{URL}add/", typed))


def test_a_price_is_shown_with_what_it_changes_before_it_is_set(
    operator: Client, cast: Cast, model: Model, own: PriceBook, book: Book
) -> None:
    now = timezone.now()
    book(cast.key.api_key, requests=1_000_000, now=now.replace(day=1) - timedelta(days=2))
    book(cast.rival_key.api_key, requests=10, now=now.replace(day=1) - timedelta(days=2))
    page = f"{URL}acme/models/acme/tiny/"

    seen = operator.post(page, OWN | {"preview": "1"})

    assert not Rate.objects.filter(book=own).exists()
    preview = seen.context["shown"].preview
    # 20 million tokens of Acme alone: Rival does not buy by this book.
    assert (preview.before, preview.after, len(preview.effects)) == (5, 4, 1)

    assert operator.post(page, OWN | {"set": "1"}).status_code == 302
    assert Rate.objects.get(book=own).price == Decimal("0.2")
    assert "own" in text_of(operator.get(f"{URL}acme/"))


def test_where_prices_need_two_people_another_one_approves(
    operator: Client, cast: Cast, model: Model, own: PriceBook, settings: Any
) -> None:
    settings.PRICE_APPROVAL = True
    operator.post(f"{URL}acme/models/acme/tiny/", OWN | {"set": "1"})
    rate = Rate.objects.get(book=own)
    assert "Waiting for a second person" in text_of(operator.get(URL))
    mine = text_of(operator.post(f"{URL}rates/{rate.pk}/approve/", follow=True))
    assert "somebody else has to approve it" in mine

    sara = services.staff_add(
        actor=cast.oskar, email="sara@sluice.test", name="Sara", role=StaffRole.FINANCE
    )
    log_in_freshly(operator, sara).post(f"{URL}rates/{rate.pk}/approve/")

    rate.refresh_from_db()
    assert rate.approved_by == sara


def test_a_proposal_is_taken_back(
    operator: Client, model: Model, own: PriceBook, settings: Any
) -> None:
    settings.PRICE_APPROVAL = True
    operator.post(f"{URL}acme/models/acme/tiny/", OWN | {"set": "1"})
    operator.post(f"{URL}rates/{Rate.objects.get(book=own).pk}/withdraw/")
    assert not Rate.objects.filter(book=own).exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"price": "-1"}, "greater than or equal to 0"),
        ({"valid_from": "2020-01-01T00:00"}, "starts at or after this time exists already"),
        ({"valid_until": "2020-01-01T00:00"}, "over before it begins"),
    ],
)
def test_a_price_that_cannot_be_is_refused_with_the_reason(
    operator: Client, model: Model, typed: dict[str, str], said: str
) -> None:
    answer = operator.post(f"{URL}list/models/acme/tiny/", OWN | {"set": "1"} | typed)
    assert answer.status_code == 422
    assert said in text_of(answer)


def test_a_price_that_is_missing_is_told(operator: Client, cast: Cast, model: Model) -> None:
    assert "missing" not in text_of(operator.get(URL))
    chat = control.model_create(
        actor=None, public_id="chat", name="Chat", tasks=[Task.CHAT], context_tokens=9,
        owned_by="Acme",
    )  # fmt: skip
    Model.objects.filter(pk=chat.pk).update(is_enabled=True)
    for component in (Component.INPUT, Component.CACHED_INPUT):
        rate_set(actor=None, model="chat", component=component, price=Decimal(1))

    page = text_of(operator.get(URL))

    assert "1 price is missing" in page
    assert "chat has no price for output in List." in page


def test_discounts_are_lines_of_an_amount_and_a_percentage(
    operator: Client, own: PriceBook
) -> None:
    page = f"{URL}acme/discounts/"
    assert "as amount: percent" in text_of(operator.post(page, {"tiers": "much: 5"}))
    operator.post(page, {"tiers": "1000: 5\n5000: 7.5 %"})
    assert "Above €1 000.00</dt><dd>5 %" in text_of(operator.get(f"{URL}acme/"))
    assert operator.get(page).context["form"].initial["tiers"] == "1000.00: 5.00\n5000.00: 7.50"
