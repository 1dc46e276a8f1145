"""Whoever copies a snippet about the management API out of the documentation gets an answer."""

from __future__ import annotations

import pytest
from pytest_django.live_server_helper import LiveServer

from console.guides import guides, settings_values
from console.markdown import codes
from tenants import services
from tests.conftest import Cast
from tests.inference.gateway.test_docs import MANAGEMENT, RUN, run

PLACES = [at for at, code in enumerate(codes(guides()[MANAGEMENT].source)) if code.language in RUN]


@pytest.mark.parametrize("at", PLACES)
def test_a_snippet_about_management_works(
    at: int,
    people: Cast,
    server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = services.admin_key_create(
        actor=people.olivia, organization=people.acme, name="CI", may_write=True, expires_at=None
    )
    monkeypatch.setenv("SLUICE_ADMIN_KEY", key.secret)
    monkeypatch.setenv("PROJECT", str(people.project.pk))
    values = settings_values() | {"management_url": f"{server.url}/api/v1"}
    run(codes(guides()[MANAGEMENT].filled(values))[at])
    assert capfd.readouterr().out.strip()
