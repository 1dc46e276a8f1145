"""The servers under the tests, and the cast: the same people in every test, no factories.

| Who | Is |
|---|---|
| olivia | owner of Acme |
| max | member (developer) of Acme |
| rita | owner of Rival, a stranger to Acme |
| oskar | an operator |
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import django
import hypothesis
import pytest
from django.apps import AppConfig
from django.conf import settings
from django.core import serializers
from django.db import connection, transaction
from django.db.models.signals import post_migrate
from django.test import override_settings
from hypothesis import HealthCheck
from pytest_django.plugin import DjangoDbBlocker

from tests import servers

hypothesis.settings.register_profile(
    "tests",
    deadline=None,  # a busy machine is slow
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize="EXPLORE" not in os.environ,  # what holds in one run holds in the next
)
hypothesis.settings.load_profile("tests")
servers.start()
django.setup()  # here, since the conftests below this one import models

from allauth.account.models import EmailAddress  # noqa: E402

from billing.models import Plan, PriceBook  # noqa: E402
from console.celery import app as celery  # noqa: E402
from inference import control  # noqa: E402
from inference.models import Region  # noqa: E402
from tenants import services, tenancy  # noqa: E402
from tenants.models import Organization, Project, Role, User  # noqa: E402
from tenants.services import NewKey  # noqa: E402
from tenants.valkey import client  # noqa: E402

PASSWORD = "correct horse battery staple"


def pytest_unconfigure() -> None:
    servers.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if count := sum("[stripe" in report.nodeid for report in skipped):
        terminalreporter.write_line(
            f"Stripe's double was not compared with Stripe in {count} cases: set STRIPE_TEST_KEY."
        )


@pytest.fixture(autouse=True, scope="session")
def _quick_settings() -> Iterator[None]:
    """Static files without a hash, so that tests need no collectstatic; a hasher that is fast.

    What is left to the worker is done at once.
    """
    celery.conf.task_always_eager = True
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(
        STORAGES=settings.STORAGES | {"staticfiles": plain},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """The owner makes the database of the tests."""
    tenancy.become(tenancy.OWNER)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Tests that commit empty all tables after them, and the audit trail does not let itself be.

    What the migrations had put in is there again for the next test.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table, trigger in (
            ("tenants_auditentry", "audit_entry_no_truncate"),
            ("tenants_audithead", "audit_head_no_truncate"),
        ):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    with django_db_blocker.unblock():
        kept = serializers.serialize("json", [*PriceBook.objects.all(), *Plan.objects.all()])

    def put_back(sender: AppConfig, **_: object) -> None:
        if sender.label == "billing" and not Plan.objects.exists():
            with transaction.atomic():
                for one in serializers.deserialize("json", kept):
                    one.save()

    post_migrate.connect(put_back)
    tenancy.become(tenancy.LOGIN)
    yield
    post_migrate.disconnect(put_back)
    tenancy.become(tenancy.OWNER)


@pytest.fixture(autouse=True)
def _standing() -> Iterator[None]:
    """A test is the worker, who sees all rows; the requests of its clients are who they are."""
    with tenancy.standing_as(tenancy.LOGIN):
        yield


began: Final[list[datetime]] = []
"""When the test under way did: a gateway delivers again what nobody books within a minute."""


@pytest.fixture(autouse=True)
def _empty_valkey() -> Iterator[None]:
    """Nothing of one test is left in Valkey for the next."""
    began[:] = [datetime.now(UTC)]
    yield
    client().flushdb()


@pytest.fixture
def commits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the commit is done where it is said: no test in a transaction commits."""
    monkeypatch.setattr(transaction, "on_commit", lambda act, **options: act())


@dataclass(frozen=True)
class Cast:
    olivia: User
    max: User
    rita: User
    oskar: User
    acme: Organization
    rival: Organization
    project: Project
    rival_project: Project
    key: NewKey
    rival_key: NewKey


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def region(cast: Cast) -> Region:
    return control.region_create(
        actor=cast.oskar, code="se-lulea", site="Luleå", country="SE", jurisdiction="EU"
    )


def make_cast() -> Cast:
    olivia = User.objects.create_user("olivia@acme.test", PASSWORD, name="Olivia Ek")
    max_ = User.objects.create_user("max@acme.test", PASSWORD, name="Max Berg")
    rita = User.objects.create_user("rita@rival.test", PASSWORD, name="Rita Dahl")
    oskar = User.objects.create_user(
        "oskar@sluice.test", PASSWORD, name="Oskar Lund", is_staff=True
    )
    EmailAddress.objects.bulk_create(
        EmailAddress(user=user, email=user.email, verified=True, primary=True)
        for user in (olivia, max_, rita, oskar)
    )
    acme = services.organization_create(actor=oskar, name="Acme", slug="acme")
    rival = services.organization_create(actor=oskar, name="Rival", slug="rival")
    services.member_add(actor=oskar, organization=acme, user=olivia, role=Role.OWNER)
    services.member_add(actor=oskar, organization=acme, user=max_, role=Role.DEVELOPER)
    services.member_add(actor=oskar, organization=rival, user=rita, role=Role.OWNER)
    project = services.project_create(actor=olivia, organization=acme, name="Search")
    rival_project = services.project_create(actor=rita, organization=rival, name="Secret")
    return Cast(
        olivia=olivia,
        max=max_,
        rita=rita,
        oskar=oskar,
        acme=acme,
        rival=rival,
        project=project,
        rival_project=rival_project,
        key=services.api_key_create(actor=olivia, project=project, name="Acme production"),
        rival_key=services.api_key_create(actor=rita, project=rival_project, name="Rival key"),
    )
