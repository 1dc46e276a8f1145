"""What OpenAI or Anthropic serves and the gateway does not: a 404 that says so, in their shape."""

from __future__ import annotations

import anthropic
import httpx2 as httpx
import openai as sdk
import pytest
from openai import OpenAI

from inference.gateway.endpoints import ENDPOINTS, NOT_YET
from tests.inference.gateway.conftest import Running, records

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def claude(gateway: Running, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0)


@pytest.mark.parametrize("name", NOT_YET)
def test_what_is_not_there_yet_is_said_to_be_so(http: httpx.Client, name: str) -> None:
    for path in (f"/v1/{name}", f"/v1/{name}/", f"/v1/{name}/x_1", f"/v1/{name}/x_1/cancel"):
        for method in METHODS:
            answer = http.request(method, path)
            assert answer.status_code == 404
            message = answer.json()["error"]["message"]
            assert message.startswith(f"This API does not have {path} yet. It has /v1/models, ")
            assert all(f"/v1/{path}" in message for path in ENDPOINTS)
    assert records() == []


def test_a_path_that_only_starts_alike_is_unknown(http: httpx.Client) -> None:
    for path in ("/v1/filesystem", "/v1/imagesx/y", "/v1/audio", "/v1/x/files"):
        answer = http.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"].startswith(f"Unknown path: {path}.")


def test_the_sdk_raises_what_it_raises_for_a_404(openai: OpenAI) -> None:
    with pytest.raises(sdk.NotFoundError, match="does not have /v1/files yet"):
        openai.files.list()
    with pytest.raises(sdk.NotFoundError, match="does not have /v1/images/generations yet"):
        openai.images.generate(prompt="A sluice", model="acme/tiny")
    with pytest.raises(sdk.NotFoundError, match="does not have /v1/moderations yet"):
        openai.moderations.create(input="Hello")
    with pytest.raises(sdk.NotFoundError, match="does not have /v1/batches yet"):
        openai.batches.list()
    with pytest.raises(sdk.NotFoundError, match="does not have /v1/audio/speech yet"):
        openai.audio.speech.create(input="Hello", model="x", voice="alloy")


def test_below_messages_it_is_said_in_anthropics_shape(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="/v1/messages/batches yet") as caught:
        claude.messages.batches.list()
    body, request_id = caught.value.body, caught.value.request_id
    assert isinstance(body, dict)
    assert body["error"]["type"] == "not_found_error"
    assert request_id == body["request_id"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/responses/resp_1", "/v1/messages/batches"])
def test_without_a_key_nothing_is_told(gateway: Running, path: str) -> None:
    answer = httpx.get(gateway.url + path)
    assert answer.status_code == 401
    assert "yet" not in answer.text
