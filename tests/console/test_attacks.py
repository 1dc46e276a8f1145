"""Attacks that hit others, tried on the console. The whole list is docs/rules/attacks.md."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from console.celery import app
from tenants.models import PlatformPolicy
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.usage_rows import used

HOSTS = (
    "evil.test",
    "localhost/?#@evil.test",
    "localhost\\@evil.test",
    "localhost:80:80",
    "localhost%00.evil.test",
    "[::1].evil.test",
    "127.1",
    "2130706433",
    "localhost.evil.test",
    "",
)
"""What a middleware may read another path or another site from."""

PATHS = ("/", "/account/login/", "/operator/", "/o/acme/keys/", "/api/v1/organization/projects")


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_a_host_that_is_not_ours_reaches_no_page(cast: Cast, path: str) -> None:
    client = Client()
    client.force_login(cast.olivia)
    for host in HOSTS:
        answer = client.get(path, headers={"host": host, "x-forwarded-host": "evil.test"})
        assert answer.status_code == 400, host
        assert "evil.test" not in str(answer.headers)


@pytest.mark.django_db
def test_a_search_for_wildcards_finds_only_these_letters(client: Client, cast: Cast) -> None:
    client.force_login(cast.oskar)
    for typed in ("%", "_", "%25%25%25", "a%c"):
        assert (
            "Acme"
            not in client.get("/operator/organizations/", {"q": typed}).text.partition("<tbody")[2]
        )
    assert "Acme" in client.get("/operator/organizations/", {"q": "cm"}).text.partition("<tbody")[2]


def test_nothing_that_comes_over_a_network_is_unpickled() -> None:
    assert {app.conf.task_serializer, app.conf.result_serializer, *app.conf.accept_content} == {
        "json"
    }
    cache.set("planted", [1], 60)
    (key,) = valkey().scan_iter("*planted*")
    assert valkey().get(key) == b"[1]"


def test_no_installed_package_runs_code_when_python_starts() -> None:
    """As a package on PyPI did that was taken over."""
    for name in ("purelib", "platlib"):
        for file in Path(sysconfig.get_path(name)).glob("*.pth"):
            lines = file.read_text().splitlines()
            assert not [line for line in lines if line.startswith(("import ", "import\t"))], file


@pytest.mark.django_db
def test_markup_in_names_is_text(client: Client, cast: Cast) -> None:
    markup = "<script>alert(1)</script>"
    cast.project.name = cast.key.api_key.name = markup
    cast.project.save()
    cast.key.api_key.save()
    used(cast.key.api_key, timezone.now())
    client.force_login(cast.olivia)
    for url in ("/o/acme/", "/o/acme/keys/", "/o/acme/projects/", "/o/acme/usage/?group=api_key"):
        page = client.get(url).text
        assert "&lt;script&gt;alert(1)" in page or "\\u003Cscript" in page, url
        assert markup not in page


@pytest.mark.django_db
def test_sign_ups_from_one_address_are_slowed(client: Client) -> None:
    PlatformPolicy.objects.create(sign_up_is_open=True)
    form = {"name": "N", "email": "no address", "password1": "x"}
    answers = [client.post("/account/signup/", form).status_code for _ in range(21)]
    assert set(answers[:20]) == {200}
    assert answers[20] == 429
