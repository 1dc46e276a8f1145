"""Credit that is set apart: never more than there is, and never while Valkey counts for anybody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from billing.balances import balances_read
from billing.leases import (
    LeaseRefused,
    Short,
    chunk,
    lease_take,
    leases_seen,
    leases_shrink,
    leases_write,
    spender_attach,
    spender_heard,
    spender_leave,
    spenders_adopt,
)
from billing.ledger import prepaid_top_up
from billing.models import Lease, Mode, Spender, Terms
from tests.conftest import Cast

EURO = 10**9
ONE, OTHER = "gw:1.aaaaaaaaaaaa", "gw:2.bbbbbbbbbbbb"


@pytest.fixture
def acme(cast: Cast) -> UUID:
    """It has paid four EUR."""
    return paid(cast)


def paid(cast: Cast) -> UUID:
    Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(4), reference="one")
    return cast.acme.pk


def left(organization_id: UUID) -> int:
    return balances_read([organization_id])[organization_id].by_scope["w"]


def silence(spender: str) -> None:
    Spender.objects.filter(name=spender).update(heard_at=Now() - timedelta(minutes=16))


@pytest.mark.django_db
def test_what_is_taken_is_nobody_elses(acme: UUID) -> None:
    leases_write(ONE, {(acme, "w"): EURO})
    leases_write(OTHER, {})
    version = balances_read([acme])[acme].version
    assert left(acme) == 3 * EURO
    assert lease_take(OTHER, acme, {"w": 2 * EURO}) == {"w": 2 * EURO}
    assert lease_take(OTHER, acme, {"w": EURO // 100}) == {"w": EURO // 8}
    assert left(acme) == EURO - EURO // 8
    assert balances_read([acme])[acme].version > version
    seen = leases_seen()
    assert (seen.spenders, seen.organizations) == (2, 1)
    assert seen.leased_nano == {acme: 3 * EURO + EURO // 8}


@pytest.mark.django_db
def test_who_asks_for_more_than_is_left_is_told_how_much_there_is(acme: UUID) -> None:
    leases_write(ONE, {(acme, "w"): EURO})
    assert lease_take(ONE, acme, {"w": 4 * EURO}) == Short("w", 4 * EURO, EURO)
    assert left(acme) == 3 * EURO


@pytest.mark.django_db
def test_what_another_may_give_back_is_waited_for(acme: UUID) -> None:
    for spender in (ONE, OTHER):
        leases_write(spender, {})
    lease_take(OTHER, acme, {"w": EURO})
    with pytest.raises(LeaseRefused):
        lease_take(ONE, acme, {"w": 4 * EURO})
    leases_shrink(OTHER, {(acme, "w"): EURO})
    assert lease_take(ONE, acme, {"w": 4 * EURO}) == {"w": 4 * EURO}


@pytest.mark.django_db
def test_nothing_is_set_apart_while_a_gateway_counts_by_valkey(acme: UUID) -> None:
    with pytest.raises(LeaseRefused):  # not known
        lease_take(ONE, acme, {"w": 1})
    leases_write(ONE, {})
    spender_attach(OTHER, "run")
    with pytest.raises(LeaseRefused):
        lease_take(ONE, acme, {"w": 1})
    leases_write(OTHER, {})
    assert lease_take(ONE, acme, {"w": EURO}) == {"w": EURO}
    assert spender_attach(ONE, "run") == {acme}
    with pytest.raises(LeaseRefused):
        lease_take(ONE, acme, {"w": 1})


@pytest.mark.django_db
def test_another_run_of_valkey_is_used_when_nobody_counts_by_the_one_before() -> None:
    assert spender_attach(ONE, "run") == set()
    assert spender_attach(OTHER, "next") is None
    leases_write(ONE, {})
    assert spender_attach(OTHER, "next") == set()
    assert spender_attach(ONE, "run") is None
    assert spender_attach(ONE, "run", is_forced=True) == set()


@pytest.mark.django_db
def test_who_is_silent_for_long_holds_nothing_and_begins_anew(acme: UUID) -> None:
    leases_write(ONE, {(acme, "w"): EURO})
    assert spender_heard(ONE, "")
    silence(ONE)
    assert left(acme) == 4 * EURO
    assert not spender_heard(ONE, "")
    with pytest.raises(LeaseRefused):
        lease_take(ONE, acme, {"w": 1})
    leases_write(OTHER, {})
    assert lease_take(OTHER, acme, {"w": 4 * EURO}) == {"w": 4 * EURO}


@pytest.mark.django_db
def test_an_heir_takes_the_place_of_the_dead(acme: UUID) -> None:
    spender_attach(ONE, "run")
    spender_attach(OTHER, "run")
    assert spenders_adopt(ONE, {OTHER}, "run")
    assert [one.name for one in Spender.objects.all()] == [ONE]
    leases_write(OTHER, {(acme, "w"): EURO})
    assert not spenders_adopt(ONE, {OTHER}, "run")  # what it exposed is to be written
    leases_write(ONE, {(acme, "w"): EURO // 2}, replaces={OTHER})
    assert (left(acme), Spender.objects.count()) == (4 * EURO - EURO // 2, 1)
    leases_write(ONE, {}, epoch="run")
    assert (left(acme), Lease.objects.count()) == (4 * EURO, 0)
    spender_leave(ONE)
    assert not Spender.objects.exists()


@pytest.mark.django_db
def test_a_budget_that_is_gone_is_not_spent_from(acme: UUID) -> None:
    leases_write(ONE, {})
    with pytest.raises(LeaseRefused):
        lease_take(ONE, acme, {"w": 1, f"b:{UUID(int=1).hex}:20260101": 1})
    assert left(acme) == 4 * EURO


@pytest.mark.django_db(transaction=True)
def test_gateways_that_take_at_the_same_time_never_take_more_than_there_is(cast: Cast) -> None:
    acme = paid(cast)
    for spender in (ONE, OTHER):
        leases_write(spender, {})

    def take(number: int) -> int:
        try:
            taken = lease_take((ONE, OTHER)[number % 2], acme, {"w": EURO // 10})
        except LeaseRefused:
            return 0
        finally:
            connection.close()
        return taken["w"] if isinstance(taken, dict) else 0

    with ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(take, range(60)))
    assert 4 * EURO - EURO // 10 < taken <= 4 * EURO
    assert left(acme) == 4 * EURO - taken


@given(st.integers(1, 10**16), st.data())
def test_a_chunk_covers_the_need_and_leaves_the_others_something(
    left_nano: int, data: st.DataObject
) -> None:
    need = data.draw(st.integers(1, left_nano))
    taken = chunk(left_nano, need)
    assert need <= taken <= left_nano
    assert taken == need or taken <= left_nano // 8
