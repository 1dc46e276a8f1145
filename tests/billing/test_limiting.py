"""What can be done to limits and plans, and what is refused with its reason."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from billing import limiting
from billing.holds import scopes_state
from billing.limited import limited_key, limited_read
from billing.models import Limit, LimitKind, Mode, Plan, Terms
from tenants.models import AuditEntry
from tenants.valkey import client
from tests.conftest import Cast

RPM = LimitKind.REQUESTS_MINUTE


def limit_set(cast: Cast, value: int = 10, **facts: Any) -> Limit:
    usual: dict[str, Any] = {"actor": cast.oskar, "organization": cast.acme, "kind": RPM}
    return limiting.limit_set(value=value, **usual | facts)


def refused(cast: Cast, field: str, **facts: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        limit_set(cast, **facts)
    assert list(refusal.value.message_dict) == [field]
    assert not Limit.objects.filter(value=facts.get("value", 10)).exists()
    return str(refusal.value.message_dict[field][0])


def test_a_limit_is_set_once_and_then_replaced(cast: Cast) -> None:
    limit_set(cast, 10)
    limit_set(cast, 20, reason="More customers")
    limit_set(cast, 5, model="tiny-llama")
    assert sorted(Limit.objects.values_list("model", "value")) == [("", 20), ("tiny-llama", 5)]
    told = AuditEntry.objects.filter(action="limit.set").order_by("id")
    assert [entry.data["value"] for entry in told] == [10, 20, 5]


@pytest.mark.parametrize("value", [0, -1, 10**12 + 1])
def test_a_limit_of_nothing_or_of_more_than_can_be_counted_is_refused(
    cast: Cast, value: int
) -> None:
    assert "t least 1" in (said := refused(cast, "value", value=value)) or "At most" in said


def test_a_limit_that_ended_already_is_refused(cast: Cast) -> None:
    ended = timezone.now() - timedelta(days=1)
    assert "over already" in refused(cast, "ends_at", ends_at=ended)


def test_a_project_or_key_of_another_organization_is_refused(cast: Cast) -> None:
    refused(cast, "project", project=cast.rival_project)
    refused(cast, "api_key", api_key=cast.rival_key.api_key)
    refused(cast, "api_key", api_key=cast.key.api_key, project=cast.project)


def test_a_part_may_have_no_more_than_the_whole(cast: Cast) -> None:
    limit_set(cast, 100)
    limit_set(cast, 30, model="tiny-llama")
    assert "may use 100" in refused(cast, "value", value=101, project=cast.project)
    key = {"api_key": cast.key.api_key}
    assert "may use 30" in refused(cast, "value", value=31, model="tiny-llama", **key)
    assert limit_set(cast, 99, **key).value == 99
    assert limit_set(cast, 101, project=cast.project, kind=LimitKind.STREAMS).value == 101


def test_a_limit_is_removed(cast: Cast) -> None:
    limiting.limit_remove(actor=cast.oskar, limit=limit_set(cast))
    assert not Limit.objects.exists()
    assert AuditEntry.objects.get(action="limit.remove").data["kind"] == "rpm"


def test_a_plan_is_made_and_changed(cast: Cast) -> None:
    facts: limiting.PlanFacts = {"name": "T", "rpm": 5, "tpm": None, "rpd": None, "streams": 1}
    plan = limiting.plan_create(actor=cast.oskar, slug="trial", **facts)
    limiting.plan_update(actor=cast.oskar, plan=plan, **facts | {"rpm": 7})
    plan.refresh_from_db()
    assert (plan.rpm, plan.tpm, plan.streams) == (7, None, 1)
    with pytest.raises(ValidationError) as refusal:
        limiting.plan_update(actor=cast.oskar, plan=plan, **facts | {"tpm": 0})
    assert list(refusal.value.message_dict) == ["tpm"]


def test_the_usual_plans_are_there(db: None) -> None:
    found = {plan.slug: (plan.rpm, plan.tpm, plan.rpd, plan.streams) for plan in Plan.objects.all()}
    assert found == {
        "free": (20, 40_000, None, 2),
        "build": (300, 500_000, None, 20),
        "scale": (2000, 5_000_000, None, 100),
        "enterprise": (None, None, None, None),
    }


def test_new_terms_reach_the_counters_at_once(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        limiting.terms_set(
            actor=cast.oskar,
            organization=cast.acme,
            plan=None,
            mode=Mode.POSTPAID,
            credit_limit=Decimal(5),
        )
    assert scopes_state(cast.acme.pk)["w"].balance == 5 * 10**9


@pytest.mark.parametrize(
    ("mode", "credit_limit", "why"),
    [
        (Mode.POSTPAID, -1, "Not below zero"),
        (Mode.PREPAID, 5, "Prepaid has no credit limit"),
        (Mode.PREPAID, 0, "Prepaid has no credit limit"),
    ],
)
def test_terms_that_contradict_themselves_are_refused(
    cast: Cast, mode: Mode, credit_limit: int, why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        limiting.terms_set(
            actor=None, organization=cast.acme, plan=None, mode=mode,
            credit_limit=Decimal(credit_limit),
        )  # fmt: skip
    assert not Terms.objects.exists()


def test_who_was_refused_is_counted_over_this_hour_and_the_one_before(cast: Cast) -> None:
    now, other = timezone.now(), uuid4()
    for hours, count in ((0, 2), (1, 3), (2, 100)):
        key = limited_key(now - timedelta(hours=hours))
        client().hincrby(key, f"{cast.acme.pk.hex}|o", count)
    client().hincrby(limited_key(now), f"{other.hex}|k:1:m", 1)
    assert limited_read(now) == {cast.acme.pk: {"o": 5}, other: {"k:1:m": 1}}
