from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import (
    AccountKey,
    BooksError,
    Source,
    books_check,
    pending_make,
    prepaid_top_up,
    promo_grant,
    usage_post,
    wallet_read,
)
from billing.models import AccountKind, Books, Component, Transfer
from tenants import services
from tenants.models import Organization, new_id
from tests.billing.ledger.reading import NOON, balances, is_balanced, undone, use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
slowly = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
prices = st.decimals(min_value=0, max_value=3, places=12)
usages = st.dictionaries(st.sampled_from(list(Component)), prices)


def pay(organization: Organization, amount: str | Decimal) -> None:
    prepaid_top_up(
        actor=None, organization=organization, amount=Decimal(amount), reference=new_id().hex
    )


def grant(organization: Organization, amount: str | Decimal, days: int | None = None) -> None:
    """Credit that may be used for `days` after NOON."""
    until = None if days is None else NOON + days * DAY
    promo_grant(
        actor=None, organization=organization, amount=Decimal(amount), expires_at=until, reason="-"
    )


@pytest.fixture
def funded(cast: Cast) -> Cast:
    pay(cast.acme, "2")
    grant(cast.acme, "1.5", days=1)
    grant(cast.rival, "0.5")
    return cast


def test_usage_without_credit_is_unbilled_and_earned_by_component(cast: Cast) -> None:
    use(cast.acme, input="0.25", output="1.5")
    assert balances(cast.acme) == {"unbilled": Decimal("-1.75")}
    assert balances(None) == {"revenue:input": Decimal("0.25"), "revenue:output": Decimal("1.5")}
    assert balances(cast.rival) == {}


def test_promotions_are_used_first_and_prepaid_credit_before_usage_is_billed(cast: Cast) -> None:
    pay(cast.acme, "2")
    grant(cast.acme, "1")
    use(cast.acme, input="0.6")
    assert balances(cast.acme) == {"promo": Decimal("0.4"), "prepaid": Decimal(2)}
    use(cast.acme, input="1")
    assert balances(cast.acme) == {"prepaid": Decimal("1.4")}
    use(cast.acme, output="2")
    assert balances(cast.acme) == {"unbilled": Decimal("-0.6")}


def test_the_promotion_that_expires_first_is_used_first(cast: Cast) -> None:
    grant(cast.acme, "1")
    grant(cast.acme, "1", days=9)
    grant(cast.acme, "1", days=2)
    use(cast.acme, input="1.5")
    assert _lots(cast.acme) == [(None, 1), (9, Decimal("0.5")), (2, 0)]


def test_a_promotion_that_expired_is_not_used(cast: Cast) -> None:
    grant(cast.acme, "1", days=1)
    use(cast.acme, NOON + DAY - timedelta(seconds=1), input="0.1")
    use(cast.acme, NOON + DAY, input="0.1")
    assert balances(cast.acme) == {"promo": Decimal("0.9"), "unbilled": Decimal("-0.1")}


def test_money_that_is_set_apart_is_not_used(cast: Cast) -> None:
    pay(cast.acme, "1")
    pending_make(
        source=Source("lease", "1", "lease"),
        debit=AccountKey(cast.acme.pk, AccountKind.PREPAID),
        credit=AccountKey(None, AccountKind.CLEARING),
        amount=Decimal("0.9"),
        timeout_at=NOON,
    )
    use(cast.acme, input="0.5")
    assert balances(cast.acme) == {"prepaid": Decimal("0.9"), "unbilled": Decimal("-0.4")}


def test_a_batch_is_posted_once(cast: Cast) -> None:
    batch = use(cast.acme, input="1")
    with pytest.raises(BooksError, match="posted already"), transaction.atomic():
        usage_post(batch, {cast.acme.pk: {Component.INPUT: Decimal(1)}}, NOON)
    assert balances(cast.acme) == {"unbilled": Decimal(-1)}
    assert Books.objects.get(pk=cast.acme.pk).version == 1


def test_the_transfers_of_a_batch_are_its_usage_by_organization_and_component(cast: Cast) -> None:
    pay(cast.acme, "0.1")
    batch = new_id()
    cost = {Component.INPUT: Decimal("0.3"), Component.OUTPUT: Decimal("0.000000000001")}
    usage_post(batch, {cast.acme.pk: cost, cast.rival.pk: cost}, NOON)
    sums = Transfer.objects.filter(batch_id=batch).values_list(
        "debit__organization", "credit__part"
    )
    assert set(sums.annotate(Sum("amount"))) == {
        (one.pk, component.value, amount)
        for one in (cast.acme, cast.rival)
        for component, amount in cost.items()
    }


def test_what_cost_nothing_makes_no_transfer(cast: Cast) -> None:
    use(cast.acme, input="0", output="0")
    assert not Transfer.objects.exists()
    assert Books.objects.get(pk=cast.acme.pk).version == 1


@pytest.mark.parametrize("amount", ["-0.01", "0.1000000000001", "0.0000000000001"])
def test_an_amount_that_the_books_cannot_hold_is_refused(cast: Cast, amount: str) -> None:
    with pytest.raises((BooksError, IntegrityError)):
        use(cast.acme, input=amount)
    assert not Transfer.objects.exists()
    assert balances(None) == {}


def test_a_part_below_zero_is_refused_whatever_the_others_are(cast: Cast) -> None:
    with pytest.raises(BooksError, match="less than nothing"):
        use(cast.acme, input="-0.01", output="5")
    assert not Transfer.objects.exists()


def test_each_posting_makes_a_new_version_of_the_wallet(cast: Cast) -> None:
    seen = [_version(cast.acme)]
    for act in (lambda: pay(cast.acme, "3"), lambda: use(cast.acme, input="1")):
        act()
        seen.append(_version(cast.acme))
    assert seen == sorted(set(seen))


def test_many_organizations_ask_no_more_of_postgresql_than_one(cast: Cast) -> None:
    many = [
        services.organization_create(actor=None, name=f"Org {n}", slug=f"org-{n}") for n in range(6)
    ]
    for one in (cast.acme, *many):
        pay(one, "1")
        grant(one, "0.1")
        use(one, input="0.01", output="0.01")
    assert _queries([cast.acme]) == _queries(many)


def _queries(organizations: list[Organization]) -> int:
    cost = {Component.INPUT: Decimal("0.2"), Component.OUTPUT: Decimal(2)}
    with CaptureQueriesContext(connection) as asked:
        usage_post(new_id(), {one.pk: cost for one in organizations}, NOON)
    return len(asked)


@slowly
@given(st.lists(st.tuples(st.booleans(), usages), min_size=1, max_size=6), st.randoms())
def test_the_same_usage_in_other_batches_and_order_makes_the_same_books(
    funded: Cast, parts: list[tuple[bool, dict[Component, Decimal]]], random: Any
) -> None:
    """A batch is a list of parts: each alone in turn, or any number of them at once."""
    owners = {True: funded.acme, False: funded.rival}
    alone = [[part] for part in parts]
    shuffled = random.sample(parts, len(parts))
    cut = random.randint(0, len(parts))
    seen = []
    for batches in (alone, [parts], [shuffled[:cut], shuffled[cut:]]):
        with undone():
            for batch in batches:
                amounts = {one.pk: _sum(of, batch) for of, one in owners.items()}
                usage_post(new_id(), amounts, NOON)
            seen.append([balances(one) for one in (*owners.values(), None)])
    assert seen[0] == seen[1] == seen[2]


def _sum(
    owner: bool, batch: list[tuple[bool, dict[Component, Decimal]]]
) -> dict[Component, Decimal]:
    sums = dict[Component, Decimal]()
    for of, amounts in batch:
        for component, amount in amounts.items() if of is owner else ():
            sums[component] = sums.get(component, Decimal(0)) + amount
    return sums


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.decimals(min_value="0.01", max_value=3, places=2)),
        st.tuples(
            st.just("grant"),
            st.tuples(st.decimals(min_value="0.01", max_value=3, places=2), st.integers(1, 9)),
        ),
        st.tuples(st.just("use"), usages),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=8,
)


@slowly
@given(steps)
def test_credit_is_never_below_zero_and_no_money_appears_or_goes(
    cast: Cast, steps: list[tuple[str, Any]]
) -> None:
    """Beside a purse of plain numbers: lots as [last day, left], and what was paid and is owed."""
    lots, paid, owed, day = list[list[Any]](), Decimal(0), Decimal(0), 0
    with undone():
        for act, value in steps:
            if act == "pay":
                pay(cast.acme, value)
                paid += value
            elif act == "grant":
                amount, days = value
                grant(cast.acme, amount, days=day + days)
                lots.append([day + days, amount])
            elif act == "wait":
                day += value
            else:
                use(cast.acme, NOON + day * DAY, **{k.value: str(v) for k, v in value.items()})
                rest = sum(value.values(), Decimal(0))
                for lot in sorted(lots, key=lambda lot: int(lot[0])):
                    part = min(lot[1], rest) if lot[0] > day else Decimal(0)
                    lot[1] -= part
                    rest -= part
                part = min(paid, rest)
                paid -= part
                owed += rest - part
            assert is_balanced()
        expected = {"promo": sum(lot[1] for lot in lots), "prepaid": paid, "unbilled": -owed}
        assert balances(cast.acme) == {kind: sum_ for kind, sum_ in expected.items() if sum_}
        assert [left for _days, left in _lots(cast.acme)] == [lot[1] for lot in lots]
        assert books_check() == []


def _lots(organization: Organization) -> list[tuple[int | None, Decimal]]:
    """Days from NOON to the expiry, and what is left, in the order they were made."""
    lots = organization.accounts.filter(kind=AccountKind.PROMO).select_related("balance")
    return [
        (
            (lot.expires_at - NOON).days if lot.expires_at else None,
            lot.balance.credits_posted - lot.balance.debits_posted,
        )
        for lot in lots.order_by("created_at")
    ]


def _version(organization: Organization) -> int:
    return wallet_read([organization.pk])[organization.pk].version
