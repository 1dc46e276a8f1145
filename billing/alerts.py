"""Telling people that a budget has reached a threshold: by mail and by webhook, each once.

What is told is in the database before it is sent again: a webhook carries the same id, a mail the
same Message-ID, should a process die between the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from smtplib import SMTPException
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone

from billing.budgets import span_of
from billing.models import Budget, BudgetAlert, Period
from billing.webhooks import WebhookError, webhook_send
from tenants.models import Membership, Role
from tenants.sealing import unseal

LEASE: Final = timedelta(minutes=2)
"""How long whoever took an alert may be busy with it before another does."""
ATTEMPTS: Final = 12
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(hours=6)

log = structlog.get_logger()


def alerts_tell() -> int:
    """Tell of each alert that is due, and how many were tried."""
    tried = 0
    while alert := _taken():
        _tell(alert)
        tried += 1
    return tried


@transaction.atomic
def _taken() -> BudgetAlert | None:
    """The oldest that is due and that no one else has in hand."""
    now = timezone.now()
    due = BudgetAlert.objects.select_for_update(skip_locked=True, of=("self",)).filter(
        Q(next_at=None) | Q(next_at__lte=now), told_at=None
    )
    scope = ("budget__organization", "budget__project", "budget__api_key")
    alert = due.select_related(*scope).order_by("created_at", "pk").first()
    if alert:
        alert.next_at, alert.attempts = now + LEASE, alert.attempts + 1
        alert.save(update_fields=["next_at", "attempts"])
    return alert


def _tell(alert: BudgetAlert) -> None:
    failures = [
        _by_channel(alert, "mailed_at", _mail),
        _by_channel(alert, "hooked_at", _hook),
    ]
    failure = "; ".join(one for one in failures if one)[:200]
    if not failure or alert.attempts >= ATTEMPTS:
        _note(alert, failure=failure, told_at=timezone.now())
        return
    wait = min(FIRST_WAIT * 2 ** (alert.attempts - 1), LONGEST_WAIT)
    _note(alert, failure=failure, next_at=timezone.now() + wait)
    log.warning("budget_alert.not_told", alert=alert.pk, failure=failure)


def _note(alert: BudgetAlert, **facts: Any) -> None:
    """In the database, unless the budget was removed meanwhile and the alert with it."""
    BudgetAlert.objects.filter(pk=alert.pk).update(**facts)


def _by_channel(alert: BudgetAlert, field: str, tell: Callable[[BudgetAlert], None]) -> str:
    """Tell by one channel unless that was done; why it failed, or an empty string."""
    if getattr(alert, field):
        return ""
    try:
        tell(alert)
    except (OSError, SMTPException, WebhookError) as error:
        return f"{field.removesuffix('ed_at')}: {error}"
    _note(alert, **{field: timezone.now()})
    return ""


def _mail(alert: BudgetAlert) -> None:
    to = alert.budget.emails or _money_people(alert.budget)
    if not to:
        return
    context = {"alert": alert, "budget": alert.budget, "scope": scope_of(alert.budget)}
    began = datetime.combine(alert.period_start, time(), UTC)
    context |= {"span": span_of(Period(alert.budget.period), began)}
    context |= {"site_name": settings.SITE_NAME, "console_url": settings.CONSOLE_URL.rstrip("/")}
    subject = render_to_string("mail/budget_alert_subject.txt", context)
    message = EmailMultiAlternatives(
        " ".join(subject.split()),  # a header has no line breaks, whatever names have
        render_to_string("mail/budget_alert.txt", context),
        to=to,
        headers={"Message-ID": f"<{_message_id(alert)}@{_host()}>"},
    )
    message.attach_alternative(render_to_string("mail/budget_alert.html", context), "text/html")
    message.send()


def _money_people(budget: Budget) -> list[str]:
    members = Membership.objects.for_organization(budget.organization)
    told = members.filter(role__in=[Role.OWNER, Role.BILLING], user__is_active=True)
    return list(told.order_by("user__email").values_list("user__email", flat=True))


def _hook(alert: BudgetAlert) -> None:
    budget = alert.budget
    if not budget.webhook_url:
        return
    webhook_send(
        budget.webhook_url,
        unseal(bytes(budget.sealed_webhook_secret)),
        message_id=_message_id(alert),
        moment=timezone.now(),
        body=json.dumps(payload_of(alert)).encode(),
    )


def payload_of(alert: BudgetAlert) -> dict[str, Any]:
    """What a webhook is sent. Amounts are strings, to the last decimal."""
    budget = alert.budget
    return {
        "type": "budget.threshold_reached",
        "timestamp": alert.created_at.isoformat(),
        "data": {
            "organization": budget.organization.slug,
            "budget": str(budget.pk),
            "scope": scope_of(budget),
            "project": budget.project_id and str(budget.project_id),
            "api_key": budget.api_key_id and str(budget.api_key_id),
            "period": budget.period,
            "period_start": alert.period_start.isoformat(),
            "threshold_percent": alert.threshold,
            "spent": str(alert.spent),
            "amount": str(budget.amount),
            "currency": budget.currency,
            "is_hard": budget.is_hard,
        },
    }


def scope_of(budget: Budget) -> str:
    """What the budget is for, in words: `project Search`."""
    if budget.api_key:
        return f"key {budget.api_key.name}"
    return f"project {budget.project.name}" if budget.project else "organization"


def _message_id(alert: BudgetAlert) -> str:
    return f"budget-alert-{alert.pk}"


def _host() -> str:
    return urlsplit(settings.CONSOLE_URL).hostname or "localhost"
