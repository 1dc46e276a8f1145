from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import (
    AccountKey,
    BooksError,
    Source,
    books_check,
    pending_make,
    pending_post,
    pending_void,
    pendings_expire,
    prepaid_top_up,
    promo_grant,
    wallet_read,
)
from billing.models import AccountKind, Transfer
from tenants.tenancy import OWNER, standing_as
from tests.billing.ledger.reading import NOON, balances, is_balanced, undone
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
TO = AccountKey(None, AccountKind.CLEARING)


@pytest.fixture
def paid(cast: Cast) -> Cast:
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(10), reference="1")
    return cast


def set_apart(cast: Cast, amount: str, number: int = 1) -> UUID:
    return pending_make(
        source=Source("lease", str(number), "lease"),
        debit=AccountKey(cast.acme.pk, AccountKind.PREPAID),
        credit=TO,
        amount=Decimal(amount),
        timeout_at=NOON,
    )


def left(cast: Cast) -> Decimal:
    return wallet_read([cast.acme.pk])[cast.acme.pk].prepaid


def test_what_is_set_apart_is_not_in_the_wallet_and_still_owned(paid: Cast) -> None:
    set_apart(paid, "4")
    assert left(paid) == 6
    assert balances(paid.acme) == {"prepaid": Decimal(10)}


def test_the_part_that_is_needed_moves_and_the_rest_is_free_again(paid: Cast) -> None:
    pending_post(set_apart(paid, "4"), Decimal("1.5"))
    assert left(paid) == Decimal("8.5")
    assert balances(paid.acme) == {"prepaid": Decimal("8.5")}
    assert books_check() == []


@pytest.mark.parametrize("give_back", [pending_void, partial(pending_post, amount=Decimal(0))])
def test_what_is_not_needed_is_free_again(paid: Cast, give_back: Callable[[UUID], object]) -> None:
    give_back(set_apart(paid, "4"))
    assert left(paid) == 10
    assert books_check() == []


def test_the_same_source_sets_apart_once(paid: Cast) -> None:
    assert set_apart(paid, "4") == set_apart(paid, "4")
    assert left(paid) == 6


def test_what_is_not_there_cannot_be_set_apart(paid: Cast) -> None:
    set_apart(paid, "4")
    with pytest.raises(BooksError, match="less than"):
        set_apart(paid, "6.01", 2)
    assert left(paid) == 6


def test_a_lot_of_promotional_credit_is_set_apart_to_its_end_and_no_further(cast: Cast) -> None:
    promo_grant(
        actor=None, organization=cast.acme, amount=Decimal(3), expires_at=None, reason="Hi",
        reference="lot",
    )  # fmt: skip
    lot = AccountKey(cast.acme.pk, AccountKind.PROMO, "lot")
    with pytest.raises(BooksError, match="less than"):
        pending_make(
            source=Source("lease", "1", "lease"), debit=lot, credit=TO, amount=Decimal("3.01"),
            timeout_at=NOON,
        )  # fmt: skip
    pending_make(
        source=Source("lease", "2", "lease"), debit=lot, credit=TO, amount=Decimal(3),
        timeout_at=NOON,
    )  # fmt: skip
    assert wallet_read([cast.acme.pk])[cast.acme.pk].promo == 0


def test_more_than_was_set_apart_cannot_move(paid: Cast) -> None:
    pending = set_apart(paid, "4")
    with pytest.raises(BooksError, match="more than"):
        pending_post(pending, Decimal("4.01"))
    assert left(paid) == 6


def test_it_is_resolved_once(paid: Cast) -> None:
    pending = set_apart(paid, "4")
    first = pending_post(pending, Decimal(3))
    assert pending_post(pending, Decimal(3)) == first
    with pytest.raises(BooksError, match="otherwise"):
        pending_void(pending)
    with pytest.raises(BooksError, match="otherwise"):
        pending_post(pending, Decimal(2))
    assert left(paid) == 7


def test_postgresql_itself_refuses_a_second_resolution(paid: Cast) -> None:
    pending = set_apart(paid, "4")
    pending_void(pending)
    row = Transfer.objects.get(pk=pending)
    twice = Transfer(
        id=UUID(int=1), debit=row.debit, credit=row.credit, amount=1, kind="post", pending=row,
        source_type="x", source_id="x", code="x",
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="transfer_resolved_once"), transaction.atomic():
        twice.save(force_insert=True)


def test_a_transfer_cannot_be_changed_or_deleted(paid: Cast) -> None:
    for change in (
        lambda: Transfer.objects.update(amount=1),
        lambda: Transfer.objects.all().delete(),
    ):
        with (
            standing_as(OWNER),
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
        ):
            change()


def test_what_nobody_resolved_in_time_is_free_again(paid: Cast) -> None:
    set_apart(paid, "4")
    pending_post(set_apart(paid, "2", 2), Decimal(1))
    assert pendings_expire(NOON - timedelta(seconds=1)) == 0
    assert pendings_expire(NOON) == 1
    assert pendings_expire(NOON) == 0
    assert left(paid) == 9


acts = st.lists(
    st.tuples(
        st.sampled_from(["make", "post", "void"]),
        st.integers(0, 3),
        st.decimals(min_value="0.01", max_value=6, places=2),
    ),
    max_size=10,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts)
def test_whatever_is_tried_nothing_is_overdrawn_and_the_books_balance(
    paid: Cast, acts: list[tuple[str, int, Decimal]]
) -> None:
    made = dict[int, UUID]()
    with undone():
        for act, number, amount in acts:
            try:
                if act == "make":
                    made[number] = set_apart(paid, str(amount), number)
                elif number in made and act == "post":
                    pending_post(made[number], amount)
                elif number in made:
                    pending_void(made[number])
            except BooksError:
                pass
            assert left(paid) >= 0
            assert is_balanced()
        assert books_check() == []
