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
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test import override_settings

if TYPE_CHECKING:
    from console.embedded import Running
    from tenants.models import Organization, Project, User
    from tenants.services import NewKey

os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
os.environ.setdefault("SECRET_KEY", "test-secret-key-" * 4)
os.environ.setdefault("API_KEY_PEPPERS", "test-pepper")
os.environ.setdefault("ENCRYPTION_KEYS", "dGVzdC1lbmNyeXB0aW9uLWtleS0zMi1ieXRlcyEhISE=")
os.environ.setdefault("STATIC_ROOT", tempfile.mkdtemp(prefix="sluice-test-static-"))
os.environ.setdefault("LOG_LEVEL", "WARNING")

PASSWORD = "correct horse battery staple"


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL and Valkey once a run; xdist workers inherit their addresses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None and "SLUICE_TEST_SERVERS" not in os.environ:
        from console.embedded import Postgres, Running, Valkey

        folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
        config.stash[FOLDER], config.stash[SERVERS] = folder, []
        for name, server in (
            ("DATABASE_URL", Postgres(folder / "postgres", durable=False)),
            ("VALKEY_URL", Valkey(folder / "valkey", durable=False)),
        ):
            config.stash[SERVERS].append(Running(server))
            os.environ[name] = server.url
    elif worker is not None:
        base = os.environ["VALKEY_URL"].rpartition("/")[0]
        os.environ["VALKEY_URL"] = f"{base}/{int(worker.removeprefix('gw')) + 1}"
    settings.SECRET_KEY  # noqa: B018 - reads the settings, now that they can be read


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVERS in config.stash:
        for server in config.stash[SERVERS]:
            server.stop()
        shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


FOLDER = pytest.StashKey[Path]()
SERVERS = pytest.StashKey[list["Running"]]()


@pytest.fixture(autouse=True, scope="session")
def _static_files_as_they_lie() -> Iterator[None]:
    """Pages name static files without a hash, so that tests need no collectstatic."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES=settings.STORAGES | {"staticfiles": plain}):
        yield


@pytest.fixture(autouse=True)
def _empty_valkey() -> Iterator[None]:
    """Nothing of one test is left in Valkey for the next."""
    yield
    from tenants.valkey import client

    client().flushdb()


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


def make_cast() -> Cast:
    from tenants import services
    from tenants.models import Role, User

    olivia = User.objects.create_user("olivia@acme.test", PASSWORD, name="Olivia Ek")
    max_ = User.objects.create_user("max@acme.test", PASSWORD, name="Max Berg")
    rita = User.objects.create_user("rita@rival.test", PASSWORD, name="Rita Dahl")
    oskar = User.objects.create_user(
        "oskar@sluice.test", PASSWORD, name="Oskar Lund", is_staff=True
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
