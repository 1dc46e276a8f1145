"""The stock admin: for staff, to look and not to touch."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model as Row
from django.test import Client
from django.urls import reverse

from billing.models import Component, Rate
from billing.services import rate_set
from inference import control
from inference.models import Backend, Deployment, Model, Region, Task
from tenants.models import (
    ApiKey,
    AuditEntry,
    Membership,
    Organization,
    Project,
    User,
)
from tests.conftest import Cast

TABLES = [
    User, Organization, Project, Membership, ApiKey, AuditEntry, Region, Backend, Model,
    Deployment, Rate,
]  # fmt: skip


@pytest.fixture
def operator(client: Client, cast: Cast) -> Client:
    """Staff, with a row in every table."""
    region = control.region_create(
        actor=cast.oskar, code="se", site="Luleå", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=cast.oskar,
        name="gpu-1",
        base_url="http://127.0.0.1:9",
        engine="vllm",
        region=region,
        key="engine-secret",
    )
    model = control.model_create(
        actor=cast.oskar,
        public_id="tiny",
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
    )
    control.model_deploy(actor=cast.oskar, model=model, backend=backend, engine_model="tiny")
    rate_set(actor=cast.oskar, model="tiny", component=Component.INPUT, price=Decimal(1))
    client.force_login(cast.oskar)
    return client


def url(table: type[Row], page: str, *args: Any) -> str:
    meta = table._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)


def test_only_our_own_tables_are_registered() -> None:
    assert set(admin.site._registry) == set(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_staff_see_each_table_and_each_row(operator: Client, table: type[Row]) -> None:
    row = table._default_manager.all()[:1].get()
    assert operator.get(url(table, "changelist")).status_code == 200
    assert operator.get(url(table, "changelist"), {"q": "x"}).status_code == 200
    assert operator.get(url(table, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_even_a_superuser_changes_nothing(operator: Client, cast: Cast, table: type[Row]) -> None:
    User.objects.filter(pk=cast.oskar.pk).update(is_superuser=True)
    row = table._default_manager.all()[:1].get()
    before = table._default_manager.count()
    assert operator.get(url(table, "add")).status_code == 403
    assert operator.post(url(table, "change", row.pk), {"name": "x"}).status_code == 403
    assert operator.post(url(table, "delete", row.pk), {"post": "yes"}).status_code == 403
    operator.post(
        url(table, "changelist"), {"action": "delete_selected", "_selected_action": row.pk}
    )
    assert table._default_manager.count() == before


def test_no_secret_is_shown(operator: Client, cast: Cast) -> None:
    backend = Backend.objects.get()
    key = ApiKey.objects.get(pk=cast.key.api_key.pk)
    pages = b"".join(
        operator.get(url(table, "change", row.pk)).content
        for table, row in ((Backend, backend), (ApiKey, key), (User, cast.olivia))
    )
    for secret in (
        b"engine-secret",
        bytes(backend.sealed_key),
        bytes(key.digest).hex().encode(),
        repr(bytes(key.digest)).encode(),
        cast.olivia.password.encode(),
        b"scrypt",
        b"sealed",
        b"digest",
    ):
        assert secret not in pages


@pytest.mark.parametrize("path", ["", "tenants/user/", "login/"])
def test_a_customer_finds_no_admin(client: Client, cast: Cast, path: str) -> None:
    client.force_login(cast.olivia)
    assert client.get(f"/admin/{path}").status_code == 404


def test_who_is_logged_out_logs_in_on_the_consoles_page(client: Client, cast: Cast) -> None:
    response = client.get("/admin/tenants/user/", follow=True)
    assert response.redirect_chain[-1][0] == "/account/login/?next=/admin/tenants/user/"


def test_a_password_is_changed_on_the_consoles_page(operator: Client) -> None:
    response = operator.get("/admin/password_change/")
    assert response["Location"] == reverse("account_change_password")


def test_what_customers_did_is_not_read_past_the_reason(operator: Client, cast: Cast) -> None:
    entry = AuditEntry.objects.for_organization(cast.acme).latest("seq")
    assert operator.get(url(AuditEntry, "change", entry.pk)).status_code == 302
    assert "api_key.create" not in operator.get(url(AuditEntry, "changelist")).text
