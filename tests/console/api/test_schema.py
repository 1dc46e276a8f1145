"""The OpenAPI document says what the API does, and whatever it allows is answered."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any, Final, cast
from urllib.parse import urlencode

import jsonschema
import pytest
import schemathesis
from django.test import override_settings
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from console.api.schema import openapi_document
from tests.conftest import Cast
from tests.console.api.conftest import BASE, Api, logged_in

pytestmark = pytest.mark.django_db

EXAMPLES: Final = int(os.environ.get("API_EXAMPLES", "150"))


def test_the_document_is_valid_openapi_without_a_word_of_complaint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    openapi_document.cache_clear()
    document = openapi_document()
    validate_schema(document)
    assert document["openapi"].startswith("3.1")
    assert capsys.readouterr().err == ""


def test_anyone_may_read_it(api: Api) -> None:
    assert api.get("/openapi.json").body["paths"] == openapi_document()["paths"]


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    found = [one for path in openapi_document()["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in found]
    assert len(ids) == len(set(ids)) > 50
    assert all(one["summary"].endswith(".") for one in found)


def test_whatever_the_document_allows_is_answered_as_it_says(api: Api, cast: Cast) -> None:
    """No request that it describes fails the server, and each answer has the shape it tells."""
    operator, answered = logged_in(cast.oskar), Counter[int]()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(_operations()).flatmap(lambda one: one.as_strategy()))
    def ask(case: Any) -> None:
        caller = operator if case.path.startswith("/platform") else api
        status, body = _sent(caller, case, cast)
        assert status < 500, case
        told = case.operation.definition.raw["responses"]["200" if status == 200 else "4XX"]
        _shape(told["content"]["application/json"]["schema"]).validate(body)
        answered[status] += 1

    with override_settings(MANAGEMENT_REQUESTS_PER_MINUTE=10**6):
        ask()
    assert answered[200] > EXAMPLES // 10
    assert answered[400]


def _operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(openapi_document())
    return [cast("Any", found).ok() for found in schema.get_all_operations()]


def _shape(schema: dict[str, Any]) -> Any:
    components = openapi_document()["components"]
    return jsonschema.Draft202012Validator({**schema, "components": components})


def _sent(caller: Api, case: Any, cast: Cast) -> tuple[int, Any]:
    """Below the project of Acme's, so that what is there is reached."""
    if "project" in (case.path_parameters or {}):
        case.path_parameters["project"] = str(cast.project.pk)
    response: Any = caller.client.generic(
        case.method,
        f"{BASE}{case.formatted_path}?{urlencode(case.query or {}, doseq=True)}",
        json.dumps(case.body) if case.media_type else b"",
        content_type="application/json",
        headers={**_plain(case.headers), **caller.headers},
    )
    return response.status_code, json.loads(response.content)


def _plain(headers: Any) -> dict[str, str]:
    """Those that HTTP could carry; whoever has a key is of one organization."""
    kept = {name: value for name, value in (headers or {}).items() if name == "Idempotency-Key"}
    return {name: str(value) for name, value in kept.items() if str(value).isascii()}
