"""OpenAI's own client manages an organization here as it does there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import openai
import pytest
from django.utils import timezone
from openai import OpenAI

from tenants.models import ApiKey, Project
from tests.conftest import Cast
from tests.console.usage_rows import used

pytestmark = pytest.mark.django_db


def test_projects_are_made_listed_renamed_and_archived(sdk: OpenAI, cast: Cast) -> None:
    projects = sdk.admin.organization.projects
    made = projects.create(name="Billing")
    assert (made.object, made.name, made.status) == ("organization.project", "Billing", "active")
    assert [one.name for one in projects.list()] == ["Billing", "Search"]
    assert projects.update(made.id, name="Invoices").name == "Invoices"
    assert projects.archive(made.id).status == "archived"
    assert [one.id for one in projects.list()] == [str(cast.project.pk)]
    assert projects.retrieve(made.id).archived_at


def test_the_sdk_pages_through_a_list_by_itself(sdk: OpenAI, cast: Cast) -> None:
    for number in range(5):
        Project.objects.create(organization=cast.acme, name=f"P{number}")
    names = [one.name for one in sdk.admin.organization.projects.list(limit=2)]
    assert names == ["P4", "P3", "P2", "P1", "P0", "Search"]


def test_a_service_account_comes_with_a_key_that_can_be_listed_and_deleted(
    sdk: OpenAI, cast: Cast
) -> None:
    project, organization = str(cast.project.pk), sdk.admin.organization
    made = organization.projects.service_accounts.create(project, name="robot")
    assert made.api_key
    assert made.api_key.value.startswith("sluice_sk_")
    [key, olivias] = organization.projects.api_keys.list(project)
    assert (key.id, key.owner.type) == (made.api_key.id, "service_account")
    assert olivias.owner.user
    assert olivias.owner.user.email == cast.olivia.email
    gone = organization.projects.api_keys.delete(key.id, project_id=project)
    assert gone.deleted
    assert ApiKey.objects.get(pk=key.id).revoked_at
    accounts = organization.projects.service_accounts
    assert [one.name for one in accounts.list(project)] == ["robot"]
    assert accounts.delete(made.id, project_id=project).deleted
    assert list(accounts.list(project)) == []


def test_people_are_listed_invited_and_given_roles(sdk: OpenAI, cast: Cast) -> None:
    organization = sdk.admin.organization
    assert {one.email: one.role for one in organization.users.list()} == {
        "olivia@acme.test": "owner",
        "max@acme.test": "developer",
    }
    changed = organization.users.update(str(cast.max.pk), role="auditor")
    assert changed.role == "auditor"
    invite = organization.invites.create(email="new@acme.test", role="reader")
    assert (invite.status, invite.email) == ("pending", "new@acme.test")
    assert [one.id for one in organization.invites.list()] == [invite.id]
    assert organization.invites.delete(invite.id).deleted
    assert list(organization.invites.list()) == []
    assert organization.users.delete(str(cast.max.pk)).deleted


def test_admin_keys_and_limits_are_managed(sdk: OpenAI, cast: Cast) -> None:
    organization, project = sdk.admin.organization, str(cast.project.pk)
    key = organization.admin_api_keys.create(name="second")
    assert key.value.startswith("sluice_ak_")
    assert {one.name for one in organization.admin_api_keys.list()} == {"CI", "second"}
    assert organization.admin_api_keys.delete(key.id).deleted
    limits = organization.projects.rate_limits
    changed = limits.update_rate_limit("rl-*", project_id=project, max_requests_per_1_minute=60)
    assert changed.max_requests_per_1_minute == 60
    assert [one.model for one in limits.list_rate_limits(project)] == ["*"]


def test_usage_is_told_in_buckets_and_costs_to_the_last_digit(sdk: OpenAI, cast: Cast) -> None:
    now = timezone.now()
    used(cast.key.api_key, now, amount="0.000210000001", tokens=(1000, 400, 177), requests=3)
    start = int((now - timedelta(hours=1)).timestamp())
    told = sdk.admin.organization.usage.completions(
        start_time=start, bucket_width="1h", group_by=["model", "project_id"]
    )
    [result] = [one for bucket in told.data for one in bucket.results]
    assert result.object == "organization.usage.completions.result"
    assert (result.input_tokens, result.output_tokens) == (1000, 177)
    assert (result.num_model_requests, result.project_id) == (3, str(cast.project.pk))
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    costs = sdk.admin.organization.usage.costs(start_time=int(today.timestamp()))
    [cost] = costs.data[0].results
    assert cost.object == "organization.costs.result"
    assert cost.amount
    assert (cost.amount.value, cost.amount.currency) == (0.000210000001, "eur")


def test_the_trail_names_the_admin_key_that_acted(sdk: OpenAI, cast: Cast) -> None:
    sdk.admin.organization.projects.create(name="Billing")
    [entry] = sdk.admin.organization.audit_logs.list(event_types=["project.created"], limit=1).data
    assert entry.type == "project.created"
    assert entry.actor
    assert entry.actor.api_key
    assert entry.actor.type == "api_key"
    assert entry.actor.api_key.id


def test_the_sdk_raises_its_own_errors(sdk: OpenAI, cast: Cast) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.admin.organization.projects.retrieve(str(cast.rival_project.pk))
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.admin.organization.projects.create(name="")
    assert refused.value.param == "name"
