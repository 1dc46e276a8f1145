"""The demo data adds up as real usage does, and is not made among real customers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

import pytest
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from billing.ledger import books_check, wallet_read
from billing.models import (
    BILLED,
    LIST_EUR,
    BackendHour,
    Budget,
    BudgetAlert,
    Component,
    Rate,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageEventId,
    UsageHour,
)
from billing.pricing import PriceHistory
from console.management.commands.demo import CUSTOMER
from console.management.commands.demo_data import Size, data_make
from inference.models import Backend
from tenants.models import ApiKey, Organization, User

pytestmark = pytest.mark.django_db

EVENTS: Final = 700


def size(until: datetime | None = None, *, seed: int = 1) -> Size:
    hour = (until or timezone.now()).replace(minute=0, second=0, microsecond=0)
    return Size(events=EVENTS, organizations=12, days=3, seed=seed, until=hour)


def make(size: Size) -> Organization:
    return data_make(size, lambda _text: None)


class Made(NamedTuple):
    """What is there before each test, and the customer who was there before that."""

    size: Size
    largest: Organization
    customer: User


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Made]:
    with django_db_blocker.unblock(), transaction.atomic():
        customer, asked = User.objects.create_user(CUSTOMER[0]), size()
        yield Made(asked, make(asked), customer)
        transaction.set_rollback(True)


def test_as_many_requests_are_made_as_asked_for_and_all_of_these_days(made: Made) -> None:
    assert UsageEvent.objects.count() == UsageEventId.objects.count() == EVENTS
    for event in UsageEvent.objects.all():
        assert made.size.since <= event.admitted_at < made.size.until
        assert event.occurred_at == event.admitted_at + timedelta(milliseconds=event.duration_ms)


def test_the_sums_are_those_of_the_requests(made: Made) -> None:
    amount = UsageEvent.objects.aggregate(sum=Sum("amount"))["sum"]
    for rollup in (UsageHour, UsageDay):
        sums = rollup._default_manager.aggregate(requests=Sum("requests"), amount=Sum("amount"))
        assert sums == {"requests": EVENTS, "amount": amount}
    by_backend = UsageEvent.objects.order_by().values_list("backend").annotate(Count("request_id"))
    hours = BackendHour.objects.order_by().values_list("backend").annotate(Sum("requests"))
    assert dict(hours) == dict(by_backend)


def test_each_request_costs_what_its_model_was_priced_at(made: Made) -> None:
    models = set(Rate.objects.values_list("model", flat=True))
    history = PriceHistory.load(models, made.size.since, made.size.until)

    for event in UsageEvent.objects.all():
        amount = history.at(event.model, event.admitted_at).amount(
            input_tokens=event.input_tokens,
            cached_tokens=event.cached_tokens,
            output_tokens=event.output_tokens,
            audio_seconds=event.audio_seconds,
        )
        assert event.amount == (amount if event.outcome in BILLED else 0)


def test_the_books_hold_what_the_requests_cost(made: Made) -> None:
    assert books_check() == []
    costs = UsageEvent.objects.order_by().values_list("batch_id").annotate(Sum("amount"))
    posted = Transfer.objects.exclude(batch_id=None).order_by().values_list("batch_id")
    assert dict(posted.annotate(Sum("amount"))) == dict(costs)
    organizations = list(Organization.objects.values_list("pk", flat=True))
    assert not [one for one in wallet_read(organizations).values() if one.prepaid < 0]


def test_the_largest_organization_comes_first(made: Made) -> None:
    asked = Counter(UsageEvent.objects.values_list("organization_id", flat=True))
    assert asked.most_common(1)[0][0] == made.largest.pk


def test_a_budget_tells_what_was_spent_and_a_hard_one_was_not_passed(made: Made) -> None:
    assert BudgetAlert.objects.exists()
    for alert in BudgetAlert.objects.select_related("budget"):
        assert alert.spent * 100 >= alert.budget.amount * alert.threshold
    passed = BudgetAlert.objects.filter(budget__is_hard=True, threshold=100)
    assert not passed.exists()
    assert Budget.objects.filter(is_hard=True).exists()


def test_nothing_calls_a_backend_or_with_a_key_that_is_made_up(made: Made) -> None:
    assert set(Backend.objects.values_list("state", flat=True)) == {"disabled"}
    last = dict(ApiKey.objects.exclude(last_used_at=None).values_list("pk", "last_used_at"))
    assert last.keys() == set(UsageEvent.objects.values_list("api_key", flat=True))


def test_the_customer_of_the_demo_owns_the_largest_organization(made: Made) -> None:
    assert list(Organization.objects.for_user(made.customer)) == [made.largest]


def test_a_price_that_changed_counts_from_then_on(made: Made) -> None:

    prices = Rate.objects.filter(book=LIST_EUR, model="gpt-oss-120b", component=Component.OUTPUT)
    assert sorted(prices.values_list("price", flat=True)) == [Decimal("0.60"), Decimal("0.72")]
