"""Callers of the management API, and the paths of it with Acme's objects."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2 as httpx
import pytest
from django.test import Client
from openai import OpenAI

from tenants import services
from tenants.models import Organization, User
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly

BASE: Final = "/api/v1"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Any

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["error"]
        return found


@dataclass(frozen=True, eq=False)
class Api:
    """Somebody who calls; `path` is without the base, with a query."""

    client: Client
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **query: Any) -> Answer:
        return self._answer(self.client.get(BASE + path, query, headers=self.headers))

    def post(self, path: str, _headers: dict[str, str] | None = None, **body: Any) -> Answer:
        return self.send(path, json.dumps(body), _headers)

    def send(self, path: str, body: str | bytes, headers: dict[str, str] | None = None) -> Answer:
        sent = self.headers | (headers or {})
        return self._answer(
            self.client.post(BASE + path, body, content_type="application/json", headers=sent)
        )

    def delete(self, path: str) -> Answer:
        return self._answer(self.client.delete(BASE + path, headers=self.headers))

    def ask(self, method: str, path: str) -> Answer:
        if method == "POST":
            return self.post(path)
        return self.delete(path) if method == "DELETE" else self.get(path)

    @staticmethod
    def _answer(response: Any) -> Answer:
        return Answer(response.status_code, json.loads(response.content), response.headers)


def with_secret(secret: str) -> Api:
    return Api(Client(), {"Authorization": f"Bearer {secret}"})


def logged_in(user: User, organization: Organization | None = None, *, age_s: float = 0) -> Api:
    named = {"OpenAI-Organization": organization.slug} if organization else {}
    return Api(log_in_freshly(Client(), user, age_s=age_s), named)


def sdk_with(secret: str) -> OpenAI:
    """OpenAI's own client on the console itself, within the test's transaction."""
    client = Client()

    def answered(request: httpx.Request) -> httpx.Response:
        response = client.generic(
            request.method,
            request.url.raw_path.decode(),
            request.read(),
            content_type=request.headers.get("content-type", ""),
            headers={"Authorization": request.headers["authorization"]},
        )
        return httpx.Response(
            response.status_code, headers=dict(response.headers), content=response.content
        )

    return OpenAI(
        api_key="none",
        admin_api_key=secret,
        base_url=f"http://localhost{BASE}",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(answered)),
    )


def key_of(organization: Organization, *, may_write: bool = True) -> services.NewAdminKey:
    return services.admin_key_create(
        actor=None, organization=organization, name="CI", may_write=may_write, expires_at=None
    )


@pytest.fixture
def admin_key(cast: Cast) -> services.NewAdminKey:
    return key_of(cast.acme)


@pytest.fixture
def api(admin_key: services.NewAdminKey) -> Api:
    """An admin key of Acme that may write."""
    return with_secret(admin_key.secret)


@pytest.fixture
def reader(cast: Cast) -> Api:
    """An admin key of Acme that only reads."""
    return with_secret(key_of(cast.acme, may_write=False).secret)


@pytest.fixture
def sdk(admin_key: services.NewAdminKey) -> OpenAI:
    """With an admin key of Acme."""
    return sdk_with(admin_key.secret)
