"""Telling of budgets: each alert by each channel once, and again only of what failed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from billing import alerts, budgets
from billing.alerts import alerts_tell
from billing.ingest import ingest
from billing.metering import UsageRecord
from billing.models import BudgetAlert
from billing.webhooks import WebhookError
from tenants import services
from tenants.models import Role, User
from tests.billing.records import another, put
from tests.conftest import Cast

HOOK = "https://hooks.acme.test/budgets"
type Calls = list[dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The webhooks that were called."""
    seen: Calls = []
    monkeypatch.setattr(
        alerts, "webhook_send", lambda url, secret, **facts: seen.append({"url": url, **facts})
    )
    return seen


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_args: object, **_facts: object) -> None:
        raise WebhookError("answered 500")

    monkeypatch.setattr(alerts, "webhook_send", send)


def alert(cast: Cast, threshold: int = 80, **facts: Any) -> BudgetAlert:
    made = budgets.budget_set(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(100), **facts
    )
    return BudgetAlert.objects.create(
        budget=made.budget, organization=cast.acme, period_start=date(2026, 11, 1),
        threshold=threshold, spent=Decimal("80.5"),
    )  # fmt: skip


def due_again() -> None:
    BudgetAlert.objects.update(next_at=timezone.now() - timedelta(seconds=1))


def test_owners_and_billing_members_are_mailed_once(cast: Cast) -> None:
    bill = User.objects.create_user("bill@acme.test", name="Bill")
    services.member_add(actor=None, organization=cast.acme, user=bill, role=Role.BILLING)
    alert(cast, project=cast.project)

    assert (alerts_tell(), alerts_tell()) == (1, 0)

    (sent,) = mail.outbox
    assert sorted(sent.to) == ["bill@acme.test", "olivia@acme.test"]
    assert sent.subject == "Acme: 80 % of the budget of the project Search is spent"
    assert "€80.50 of €100.00 is spent since 1 Nov 2026, in the project Search." in sent.body
    assert "/o/acme/budgets/" in sent.body
    html = sent.alternatives[0]  # type: ignore[attr-defined] # of EmailMultiAlternatives
    assert "€80.50 of €100.00 is spent" in html.content
    assert BudgetAlert.objects.get().told_at is not None


def test_the_addresses_of_the_budget_are_mailed_in_their_place(cast: Cast) -> None:
    alert(cast, threshold=100, emails=["cfo@acme.test"])
    alerts_tell()
    assert mail.outbox[0].to == ["cfo@acme.test"]
    assert mail.outbox[0].subject == "Acme: the budget of the organization is used up"
    assert "refused with 429 insufficient_quota until 1 Dec 2026 00:00 UTC" in mail.outbox[0].body


def test_a_name_of_a_project_is_not_markup_in_a_mail(cast: Cast) -> None:
    project = services.project_create(actor=None, organization=cast.acme, name="<b>R&D</b>")
    alert(cast, project=project)
    alerts_tell()
    assert "project <b>R&D</b>" in mail.outbox[0].body
    html = mail.outbox[0].alternatives[0]  # type: ignore[attr-defined]
    assert "project &lt;b&gt;R&amp;D&lt;/b&gt;" in html.content


def test_a_webhook_is_told_exact_amounts(cast: Cast, calls: Calls) -> None:
    made = alert(cast, webhook_url=HOOK)
    alerts_tell()
    (call,) = calls
    assert (call["url"], call["message_id"]) == (HOOK, f"budget-alert-{made.pk}")
    assert b'"spent": "80.500000000000"' in call["body"]
    assert b'"threshold_percent": 80' in call["body"]


@pytest.mark.usefixtures("fails")
def test_what_failed_is_tried_again_and_what_was_done_is_not(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert(cast, webhook_url=HOOK)
    assert (alerts_tell(), alerts_tell()) == (1, 0), "it waits before it tries again"
    failed = BudgetAlert.objects.get()
    assert failed.failure == "hook: answered 500"
    assert (failed.told_at, failed.mailed_at is not None) == (None, True)
    assert failed.next_at is not None
    assert failed.next_at > timezone.now()

    due_again()
    monkeypatch.setattr(alerts, "webhook_send", lambda *_args, **_facts: None)
    assert alerts_tell() == 1
    told = BudgetAlert.objects.get()
    assert (told.failure, told.told_at is not None) == ("", True)
    assert len(mail.outbox) == 1


@pytest.mark.usefixtures("fails")
def test_it_is_given_up_in_the_end_and_says_why(cast: Cast) -> None:
    alert(cast, webhook_url=HOOK)
    for _ in range(alerts.ATTEMPTS):
        due_again()
        alerts_tell()
    given_up = BudgetAlert.objects.get()
    assert given_up.told_at is not None
    assert given_up.failure == "hook: answered 500"
    due_again()
    assert alerts_tell() == 0


def test_an_alert_that_another_worker_has_in_hand_is_left_to_it(cast: Cast) -> None:
    alert(cast)
    assert alerts._taken() is not None
    assert alerts_tell() == 0
    assert mail.outbox == []


def test_what_is_booked_is_told_once_at_each_threshold(record: UsageRecord, cast: Cast) -> None:
    budgets.budget_set(actor=None, organization=cast.acme, amount=Decimal("0.02"))
    told = []
    for _ in range(3):  # each spends 0.01534 EUR
        put(another(record, output_tokens=10_000))
        ingest()
        alerts_tell()
        told.append(len(mail.outbox))
    assert told == [1, 3, 3]
    assert sorted(BudgetAlert.objects.values_list("threshold", flat=True)) == [50, 80, 100]


def test_a_budget_that_is_removed_while_it_tells_stops_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = alert(cast, webhook_url=HOOK)

    def send(*_args: object, **_facts: object) -> None:
        budgets.budget_remove(actor=cast.olivia, budget=made.budget)

    monkeypatch.setattr(alerts, "webhook_send", send)
    assert alerts_tell() == 1
    assert not BudgetAlert.objects.exists()


def test_a_name_with_a_line_break_makes_no_header_of_its_own(cast: Cast) -> None:
    project = services.project_create(
        actor=None, organization=cast.acme, name="A\nBcc: all@acme.test"
    )
    alert(cast, project=project)
    alerts_tell()
    assert mail.outbox[0].subject.endswith("A Bcc: all@acme.test is spent")
