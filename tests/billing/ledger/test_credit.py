from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError

from billing.holds import scopes_state
from billing.ledger import (
    AccountKey,
    Source,
    Wallet,
    books_check,
    credit,
    pending_make,
    prepaid_top_up,
    promo_expire,
    promo_grant,
    wallet_read,
)
from billing.limiting import terms_set
from billing.models import AccountKind, Mode, Terms, Transfer
from tenants.models import AuditEntry, Organization
from tests.billing.ledger.reading import balances, use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
LATER = datetime(2099, 3, 1, tzinfo=UTC)


def wallet(organization: Organization) -> Wallet:
    return wallet_read([organization.pk])[organization.pk]


def test_a_payment_is_credit_at_once_and_on_record(cast: Cast) -> None:
    entered = prepaid_top_up(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("50.25"), reference="BG 123"
    )
    assert entered.is_new
    assert balances(cast.acme) == {"prepaid": Decimal("50.25")}
    assert balances(None) == {"clearing": Decimal("-50.25")}
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="credit.top_up")
    assert (entry.actor, entry.data["reference"]) == (cast.oskar, "BG 123")


def test_a_payment_is_entered_once(cast: Cast) -> None:
    for is_new in (True, False, False):
        entered = prepaid_top_up(
            actor=None, organization=cast.acme, amount=Decimal(50), reference="BG 1"
        )
        assert entered.is_new is is_new
    assert wallet(cast.acme).prepaid == 50
    assert AuditEntry.objects.filter(action="credit.top_up").count() == 1


def test_a_reference_cannot_be_used_for_another_amount(cast: Cast) -> None:
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(50), reference="BG 1")
    with pytest.raises(ValidationError, match="another amount"):
        prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(51), reference="BG 1")


@pytest.mark.parametrize("amount", ["0", "-1", "9000000.01", "NaN", "Infinity"])
def test_an_amount_that_is_none_is_refused(cast: Cast, amount: str) -> None:
    with pytest.raises(ValidationError, match="above 0"):
        prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(amount), reference="1")
    assert not Transfer.objects.exists()


def test_a_payment_without_a_reference_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="Say which payment"):
        prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(1), reference="")


def test_a_grant_with_a_reference_is_made_once_for_each_organization(cast: Cast) -> None:
    for organization in (cast.acme, cast.rival, cast.acme):
        promo_grant(
            actor=cast.oskar,
            organization=organization,
            amount=Decimal(5),
            expires_at=LATER,
            reason="Welcome",
            reference="free-2099-02",
        )
    assert [wallet(one).promo for one in (cast.acme, cast.rival)] == [5, 5]
    assert balances(None) == {"promo_expense": Decimal(-10)}


def test_a_grant_that_has_expired_is_refused(cast: Cast) -> None:
    with pytest.raises(ValidationError, match="later day"):
        promo_grant(
            actor=None,
            organization=cast.acme,
            amount=Decimal(5),
            expires_at=datetime(2020, 1, 1, tzinfo=UTC),
            reason="",
        )


def test_what_is_left_when_it_expires_is_ours_again(cast: Cast) -> None:
    grant = {"actor": None, "organization": cast.acme, "reason": ""}
    promo_grant(amount=Decimal(5), expires_at=LATER, **grant)  # type: ignore[arg-type]
    promo_grant(amount=Decimal(2), expires_at=None, **grant)  # type: ignore[arg-type]
    use(cast.acme, LATER - timedelta(seconds=1), input="1")
    assert promo_expire(LATER) == 0, "usage of before the expiry may still come in"
    assert promo_expire(LATER + timedelta(hours=1)) == 1
    assert promo_expire(LATER + timedelta(hours=2)) == 0
    assert balances(cast.acme) == {"promo": Decimal(2)}
    assert balances(None)["breakage"] == 4
    assert books_check() == []


def test_a_lot_that_expires_while_others_are_locked_waits_for_the_next_look(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for organization, until in ((cast.acme, LATER), (cast.rival, LATER + timedelta(days=9))):
        promo_grant(
            actor=None, organization=organization, amount=Decimal(5), expires_at=until, reason=""
        )
    over = LATER + timedelta(hours=1)

    def lock(owners: Collection[UUID]) -> None:
        assert owners == {cast.acme.pk}
        cast.rival.accounts.update(expires_at=LATER)

    with monkeypatch.context() as patch:
        patch.setattr(credit, "books_advance", lock)
        assert promo_expire(over) == 1
    assert balances(cast.rival) == {"promo": 5}, "its books were not locked"
    assert promo_expire(over) == 1


def test_credit_that_has_expired_is_gone_for_the_next_request(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
    begun = datetime.now(UTC)
    with django_capture_on_commit_callbacks(execute=True):
        promo_grant(
            actor=None, organization=cast.acme, amount=Decimal(5),
            expires_at=begun + timedelta(days=1), reason="",
        )  # fmt: skip
    assert scopes_state(cast.acme.pk)["w"].balance == 5_000_000_000
    with django_capture_on_commit_callbacks(execute=True):
        assert promo_expire(begun + timedelta(days=2)) == 1
    assert scopes_state(cast.acme.pk)["w"].balance == 0


@pytest.mark.parametrize(
    ("mode", "credit_limit", "available"),
    [
        (Mode.PREPAID, None, Decimal(7)),
        (Mode.POSTPAID, Decimal(10), Decimal(17)),
        (Mode.POSTPAID, None, None),
    ],
)
def test_what_is_available_follows_from_the_terms(
    cast: Cast, mode: Mode, credit_limit: Decimal | None, available: Decimal | None
) -> None:
    use(cast.acme, input="1")
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(8), reference="1")
    Terms.objects.create(organization=cast.acme, mode=mode, credit_limit=credit_limit)
    assert wallet(cast.acme).available == available


def test_who_has_no_books_yet_has_an_empty_wallet(cast: Cast) -> None:
    zero = Decimal(0)
    assert wallet(cast.acme) == Wallet(zero, zero, zero, zero, 0, Mode.POSTPAID, None)


def test_a_wallet_is_all_lots_and_what_is_paid_but_for_what_is_set_apart(cast: Cast) -> None:
    for amount in (3, 4):
        promo_grant(
            actor=None, organization=cast.acme, amount=Decimal(amount), expires_at=LATER, reason=""
        )
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(8), reference="1")
    pending_make(
        source=Source("lease", "1", "lease"), debit=AccountKey(cast.acme.pk, AccountKind.PREPAID),
        credit=AccountKey(None, AccountKind.CLEARING), amount=Decimal(2), timeout_at=LATER,
    )  # fmt: skip
    mine = wallet(cast.acme)
    assert [mine.promo, mine.prepaid, mine.balance] == [7, 6, 13]


def test_many_wallets_are_one_query(cast: Cast, django_assert_num_queries: object) -> None:
    use(cast.acme, input="1")
    with django_assert_num_queries(1):  # type: ignore[operator]
        found = wallet_read([cast.acme.pk, cast.rival.pk])
    assert [found[one.pk].unbilled for one in (cast.acme, cast.rival)] == [1, 0]


def test_credit_that_expired_is_not_in_the_wallet(cast: Cast) -> None:
    promo_grant(actor=None, organization=cast.acme, amount=Decimal(5), expires_at=LATER, reason="")
    cast.acme.accounts.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert wallet(cast.acme).promo == 0


def test_a_payment_and_new_terms_count_for_the_next_request(
    cast: Cast, django_capture_on_commit_callbacks: Any
) -> None:
    Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
    with django_capture_on_commit_callbacks(execute=True):
        prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal("2.5"), reference="1")
    assert scopes_state(cast.acme.pk)["w"].balance == 2_500_000_000
    version = wallet(cast.acme).version
    with django_capture_on_commit_callbacks(execute=True):
        terms_set(
            actor=None,
            organization=cast.acme,
            plan=None,
            mode=Mode.POSTPAID,
            credit_limit=Decimal(10),
        )
    assert scopes_state(cast.acme.pk)["w"].balance == 12_500_000_000
    assert wallet(cast.acme).version > version
