"""A key to sign anchors with, and an empty folder to keep them in."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from pytest_django import Settings

from tenants.models import Organization, User
from tenants.services import project_create
from tests.conftest import Cast


@pytest.fixture(autouse=True)
def anchors(settings: Settings, tmp_path: Path) -> Path:
    """The folder that anchors are kept in."""
    settings.AUDIT_SIGNING_KEY = b64encode(bytes(range(32))).decode()
    settings.AUDIT_ANCHOR_URL = (tmp_path / "anchors").as_uri()
    return tmp_path / "anchors"


@pytest.fixture
def acts(cast: Cast) -> Cast:
    """A dozen acts in Acme, a few in Rival, and some of the platform."""
    for number in range(12):
        project(cast.olivia, cast.acme, f"Project {number}")
    return cast


def project(actor: User, organization: Organization, name: str) -> None:
    project_create(actor=actor, organization=organization, name=name)
