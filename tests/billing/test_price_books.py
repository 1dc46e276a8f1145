"""Whose prices are which, since when, and who may change them."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from billing import price_books
from billing.models import (
    LIST_EUR,
    LIST_SEK,
    Component,
    Currency,
    PriceBook,
    Rate,
    Terms,
    UsageDay,
)
from billing.models import Plan as PlanRow
from billing.price_books import book_of, list_book, rate_approve, rate_propose, rate_withdraw
from billing.pricing import Prices, UnitPrice, prices_by_model, rates_of
from tenants.models import AuditEntry, Organization, StaffRole, User
from tests.conftest import Cast

MODEL: Final = "tiny"
LATER: Final = timedelta(hours=1)
START: Final = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def greta(cast: Cast) -> User:
    """Another operator."""
    return User.objects.create_user(
        "greta@sluice.test", "-", name="Greta Hall", is_staff=True, staff_role=StaffRole.FINANCE
    )


def book(slug: str, parent: PriceBook | None = None, **facts: Any) -> PriceBook:
    return price_books.price_book_create(
        actor=None, slug=slug, name=slug.title(), parent=parent or list_book(), **facts
    )


def rate(price: str, to: PriceBook | None = None, component: str = "output", **facts: Any) -> Rate:
    return rate_propose(
        **{"actor": None, "book": to or list_book(), "model": MODEL} | facts,
        component=Component(component),
        price=Decimal(price),
    )


def now_in(one: PriceBook) -> Prices:
    return prices_by_model(timezone.now(), one.pk)[MODEL]


def test_a_book_costs_what_it_says_and_else_what_its_parent_says(db: None) -> None:
    plan, contract = book("scale"), book("acme-own", list_book())
    deeper = book("acme-deeper", plan)
    for component, price in (("input", "1"), ("cached_input", "0.5"), ("output", "4")):
        rate(price, component=component)
    rate("3", plan)
    rate("0.9", deeper, "input")

    found = rates_of([plan.pk, contract.pk, deeper.pk, LIST_EUR], timezone.now())

    assert found[contract.pk][MODEL] == found[LIST_EUR][MODEL]
    shown = [found[one.pk][MODEL] for one in (plan, deeper)]
    outputs = [prices.output for prices in shown]
    assert outputs == [UnitPrice(Decimal(3), 10**6)] * 2
    assert [str(one.input.price) for one in shown if one.input] == ["1.000000", "0.900000"]
    assert prices_by_model(timezone.now(), LIST_SEK) == {}


def test_an_organization_pays_by_its_own_book_its_plans_or_the_list(cast: Cast) -> None:
    plan = PlanRow.objects.get(slug="scale")
    terms = Terms.objects.create(organization=cast.acme, plan=plan)
    assert book_of(cast.acme.pk) == book_of(cast.rival.pk) == LIST_EUR
    plan.book = book("scale")
    plan.save()
    assert book_of(cast.acme.pk) == plan.book.pk
    terms.currency = Currency.SEK
    terms.save()
    assert book_of(cast.acme.pk) == LIST_SEK, "its plan's book is in another currency"
    terms.book = book("acme-own", list_book(Currency.SEK), organization=cast.acme)
    terms.save()
    assert book_of(cast.acme.pk) == terms.book.pk
    assert price_books.currency_of(cast.acme.pk) == "SEK"


@examples(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=st.lists(
        st.tuples(
            st.booleans(), st.sampled_from(["input", "output"]),
            st.integers(-3, 6), st.none() | st.integers(-3, 6),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_each_moment_has_one_rate_or_whoever_asks_is_refused(
    db: None, asked: list[tuple[bool, str, int, int | None]]
) -> None:
    """In each book and of each component; and in the list no price ends without another."""
    with transaction.atomic():
        own, now = book("own"), timezone.now()
        for in_own, component, start, end in asked:
            span = [None if one is None else now + one * LATER for one in (start, end)]
            before = list(Rate.objects.values_list("pk", "valid"))
            try:
                with transaction.atomic():
                    rate(
                        "1", own if in_own else None, component, valid_from=span[0],
                        valid_until=span[1],
                    )  # fmt: skip
            except ValidationError:
                assert list(Rate.objects.values_list("pk", "valid")) == before
        first: dict[tuple[Any, str], datetime] = {}
        for one in Rate.objects.order_by("valid"):
            first.setdefault((one.book_id, one.component), one.valid.lower)
        for step in range(-7, 14, 2):
            moment = now + step * LATER / 2
            count = defaultdict[tuple[Any, str], int](int)
            for one in Rate.objects.valid_at(moment):
                count[one.book_id, one.component] += 1
            assert set(count.values()) <= {1}
            begun = {key for key, start in first.items() if start <= moment}
            assert {key for key in begun if key[0] == LIST_EUR} <= set(count)
        transaction.set_rollback(True)


def test_what_was_used_keeps_its_price(db: None) -> None:
    old = rate("1", valid_from=timezone.now() - timedelta(days=3))
    with pytest.raises(ValidationError, match="What was used keeps its price"):
        rate("2", valid_from=timezone.now() - timedelta(days=1))
    with pytest.raises(ValidationError, match="What was used keeps its price"):
        rate("2", book("own"), valid_from=timezone.now() - timedelta(days=1))
    old.refresh_from_db()
    assert old.valid.upper is None


def test_a_first_price_counts_for_what_was_used_without_whenever_it_is_approved(
    cast: Cast, greta: User, settings: Settings
) -> None:
    settings.PRICE_APPROVAL = True
    start = timezone.now() - timedelta(days=1)
    first, second = (rate("1", actor=cast.oskar, valid_from=start) for _ in "12")
    assert rate_approve(actor=greta, rate=first).valid.lower == start
    assert rate_approve(actor=greta, rate=second).valid.lower > start + timedelta(hours=23)


def test_a_list_price_does_not_end_without_another(db: None) -> None:
    with pytest.raises(ValidationError, match="no price after that"):
        rate("1", valid_until=timezone.now() + LATER)
    cheaper = rate("1", book("spring"), valid_until=timezone.now() + LATER)
    assert cheaper.approved_at


@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal(2)},
        {"component": Component.INPUT},
        {"model": "other"},
        {"book": LIST_SEK},
        {"approved_at": None},
        {"valid": DateTimeTZRange(START + LATER, None)},
        {"valid": DateTimeTZRange(START, START + LATER)},
    ],
)
def test_postgresql_lets_nobody_change_a_rate_that_has_begun(
    db: None, change: dict[str, Any]
) -> None:
    list_book(Currency.SEK)
    begun = rate("1", valid_from=START)
    same = Rate.objects.filter(pk=begun.pk)
    with pytest.raises(IntegrityError, match="keeps its price"), transaction.atomic():
        same.update(**change)
    with pytest.raises(IntegrityError, match="keeps its price"), transaction.atomic():
        same.delete()
    assert same.update(valid=DateTimeTZRange(begun.valid.lower, timezone.now() + LATER)) == 1


def test_postgresql_keeps_the_parent_and_currency_of_a_book(db: None) -> None:
    own = PriceBook.objects.filter(pk=book("own", book("plan")).pk)
    for change in ({"parent": LIST_EUR}, {"currency": "SEK"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            own.update(**change)


def test_where_prices_need_two_people_a_price_waits_for_the_second(
    cast: Cast, greta: User, settings: Settings
) -> None:
    rate("1")
    settings.PRICE_APPROVAL = True
    waiting = rate("2", actor=cast.oskar)
    assert str(now_in(list_book()).output) == str(UnitPrice(Decimal("1.000000"), 10**6))
    with pytest.raises(ValidationError, match="somebody else"):
        rate_approve(actor=cast.oskar, rate=waiting)
    with pytest.raises(IntegrityError, match="rate_approved_by_another"), transaction.atomic():
        Rate.objects.filter(pk=waiting.pk).update(approved_by=cast.oskar)

    approved = rate_approve(actor=greta, rate=waiting)

    assert now_in(list_book()).output == UnitPrice(Decimal(2), 10**6)
    assert approved.valid.lower >= waiting.created_at
    with pytest.raises(ValidationError, match="approved already"):
        rate_withdraw(actor=cast.oskar, rate=approved)
    told = AuditEntry.objects.filter(action__startswith="rate.").order_by("pk")
    assert list(told.values_list("action", flat=True)) == [
        "rate.set", "rate.propose", "rate.approve"
    ]  # fmt: skip


def test_a_proposal_can_be_withdrawn_and_rates_nothing(cast: Cast, settings: Settings) -> None:
    settings.PRICE_APPROVAL = True
    waiting = rate("2", actor=cast.oskar)
    assert prices_by_model(timezone.now()) == {}
    rate_withdraw(actor=cast.oskar, rate=waiting)
    assert not Rate.objects.exists()


def test_a_price_of_this_minute_counts_from_now_on_and_not_for_what_was_used_in_it(
    db: None,
) -> None:
    """What is typed as a time has no seconds."""
    rate("4", valid_from=START)
    used = timezone.now() - timedelta(seconds=20)
    found = rate("5", valid_from=used - timedelta(seconds=20))
    assert found.valid.lower > used
    output = prices_by_model(used)[MODEL].output
    assert output == UnitPrice(Decimal(4), 10**6)
    assert now_in(list_book()).output == UnitPrice(Decimal(5), 10**6)


def test_what_is_no_discount_is_refused(db: None) -> None:
    for start, off in (("NaN", "5"), ("1", "Infinity"), ("1e20", "5"), ("1", "101"), ("-1", "5")):
        with pytest.raises(ValidationError) as refused:
            price_books.tiers_set(
                actor=None, book=book(f"b{start}{off}".lower()[:9]),
                tiers=[(Decimal(start), Decimal(off)), (Decimal(0), Decimal(1))],
            )  # fmt: skip
        assert not hasattr(refused.value, "error_dict"), "a form has no field of that name"


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity", "0.0000001", "1e14"])
def test_what_is_no_price_is_refused(db: None, price: str) -> None:
    with pytest.raises(ValidationError, match="six decimals"):
        rate(price)
    with pytest.raises(ValidationError, match="six decimals"):
        price_books.rate_preview(
            book=list_book(), model=MODEL, component=Component.OUTPUT, price=Decimal(price),
            now=START,
        )  # fmt: skip


def test_a_preview_tells_what_a_price_would_have_changed_last_month(cast: Cast) -> None:
    plan, own = book("plan"), book("own")
    rate("4")
    rate("3", own)
    Terms.objects.create(organization=cast.rival, book=own)
    _used(cast.acme, cast, 1_000_000)
    _used(cast.rival, cast, 5_000_000)
    now = datetime(2026, 3, 15, tzinfo=UTC)
    connection.check_constraints()
    asked: dict[str, Any] = {"model": MODEL, "component": Component.OUTPUT, "price": Decimal(5)}

    found = price_books.rate_preview(book=list_book(), now=timezone.now(), **asked)
    assert found.effects == [], "nothing was used in the month before this"

    Rate.objects.update(valid=DateTimeTZRange(now - timedelta(days=90), None))
    found = price_books.rate_preview(book=list_book(), now=now, **asked)
    assert (str(found.first), str(found.last)) == ("2026-02-01", "2026-02-28")
    effects = [(e.organization_id, e.units, e.before, e.after) for e in found.effects]
    assert effects == [(cast.acme.pk, 1_000_000, Decimal(4), Decimal(5))]
    assert (found.before, found.after) == (Decimal(4), Decimal(5))
    assert price_books.rate_preview(book=own, now=now, **asked).before == Decimal(15)
    assert price_books.rate_preview(book=plan, now=now, **asked).effects == []


@pytest.mark.parametrize(
    ("component", "units"),
    [("input", 700), ("cached_input", 200), ("output", 50), ("audio_second", 0)],
)
def test_a_preview_counts_the_units_of_its_component(
    cast: Cast, component: str, units: int
) -> None:
    _used(cast.acme, cast, 50, input_tokens=900, cached_tokens=200)
    found = price_books.rate_preview(
        book=list_book(), model=MODEL, component=Component(component), price=Decimal(5),
        now=datetime(2026, 3, 15, tzinfo=UTC),
    )  # fmt: skip
    assert [effect.units for effect in found.effects] == [units] * bool(units)


def _used(organization: Organization, cast: Cast, output: int, **counts: int) -> None:
    key = cast.key.api_key if organization == cast.acme else cast.rival_key.api_key
    UsageDay.objects.create(
        organization=organization, project=key.project, api_key=key, model=MODEL,
        day=datetime(2026, 2, 10, tzinfo=UTC).date(), requests=1, failed_requests=0,
        output_tokens=output, amount=Decimal(1), currency="EUR",
        **{"input_tokens": 0, "cached_tokens": 0, **counts},
    )  # fmt: skip


def test_everybody_may_know_the_lists_that_are_shown(db: None) -> None:
    rate("4")
    rate("45", list_book(Currency.SEK))
    shown = price_books.prices_public(timezone.now())
    assert {currency: str(found[MODEL].currency) for currency, found in shown.items()} == {
        "EUR": "EUR", "SEK": "SEK"
    }  # fmt: skip
    price_books.price_book_update(
        actor=None, book=list_book(Currency.SEK), name="List, SEK", is_public=False
    )
    assert set(price_books.prices_public(timezone.now())) == {"EUR"}
