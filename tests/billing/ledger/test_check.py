from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.db.models import F
from structlog.testing import capture_logs

from billing.ledger import Difference, books_check
from billing.ledger.check import CHECKED_KEY, books_verify
from billing.models import AccountKind, Balance
from tenants.valkey import client
from tests.billing.ledger.reading import use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


def test_books_that_are_right_show_nothing(cast: Cast) -> None:
    assert books_check() == []
    use(cast.acme, input="1")
    assert books_check() == []


def test_a_balance_that_is_not_the_sum_of_its_transfers_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    cent = Decimal("0.000000000001")
    wrong = Balance.objects.get(account__kind=AccountKind.UNBILLED)
    Balance.objects.filter(pk=wrong.pk).update(debits_posted=F("debits_posted") + cent)
    assert books_check() == [Difference(wrong.pk, "debits_posted", 1 + cent, Decimal(1))]


def test_a_balance_that_is_gone_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    Balance.objects.filter(account__kind=AccountKind.UNBILLED).delete()
    (found,) = books_check()
    assert found[1:] == ("debits_posted", Decimal(0), Decimal(1))


def test_credit_below_zero_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    cast.acme.accounts.update(kind=AccountKind.PREPAID)
    (found,) = books_check()
    assert found[1:] == ("overdrawn", Decimal(1), Decimal(0))


def test_the_nightly_look_is_on_record_and_tells_of_what_is_wrong(cast: Cast) -> None:
    use(cast.acme, input="1")
    with capture_logs() as said:
        books_verify()
    assert _seen()["differences"] == 0
    assert said == []
    Balance.objects.update(debits_pending=1)
    with capture_logs() as said:
        books_verify()
    assert _seen()["differences"] == 2
    assert [(line["event"], line["log_level"]) for line in said] == [("books.wrong", "error")] * 2


def _seen() -> dict[str, object]:
    seen: dict[str, object] = json.loads(str(client().get(CHECKED_KEY), "ascii"))  # type: ignore[arg-type]
    assert str(seen["at"]).endswith("+00:00")
    return seen
