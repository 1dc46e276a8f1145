"""The OpenAPI document says what the table says, and what the gateway does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import httpx2 as httpx
import jsonschema
import msgspec
import pytest
from drf_spectacular.validation import validate_schema

from inference.gateway.endpoint import Endpoint
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.meanings import MEANINGS
from inference.gateway.openapi import openapi_document, streams
from inference.models import Task
from tests.inference.gateway.conftest import MODEL, READER, ROOT, Running

pytestmark = pytest.mark.django_db

MODELS: Final = {
    Task.CHAT: MODEL,
    Task.COMPLETION: MODEL,
    Task.EMBEDDING: READER,
    Task.RERANK: READER,
}


def test_the_document_is_valid_openapi_without_a_word_of_complaint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    openapi_document.cache_clear()
    document = openapi_document()

    validate_schema(document)

    assert document["openapi"].startswith("3.1")
    assert capsys.readouterr().err == ""


def test_anyone_may_read_it(gateway: Running) -> None:
    answer = httpx.get(f"{gateway.url}/openapi.json")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["paths"] == openapi_document()["paths"]


def test_a_gateway_starts_without_what_writes_it() -> None:
    program = (
        "import sys, inference.gateway.asgi;"
        "print(*(name for name in sys.modules if name.startswith('drf_spectacular')))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)  # noqa: S603

    assert done.stdout.strip() == b""


def test_every_path_of_the_table_is_in_it_and_no_other() -> None:
    paths = set(openapi_document()["paths"]) - {"/v1/models", "/v1/models/{model}"}

    assert paths == {f"/v1/{path}" for path in ENDPOINTS}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_path_tells_its_task_its_units_its_body_and_who_may_ask(path: str) -> None:
    row, operation = ENDPOINTS[path], openapi_document()["paths"][f"/v1/{path}"]["post"]

    assert operation["x-sluice-task"] == row.task
    assert set(operation["x-sluice-units"]) == (row.task.components if row.is_metered else set())
    assert operation["security"] == [{"bearer": []}, {"x-api-key": []}, {"api-key": []}]
    body = resolved(operation["requestBody"]["content"][row.takes]["schema"])
    told = {field.encode_name for field in msgspec.structs.fields(row.body)}
    assert set(body["properties"]) == told - (set() if streams(row) else {"stream"})
    assert all(field["description"] for field in body["properties"].values())
    assert ("text/event-stream" in operation["responses"]["200"]["content"]) == streams(row)


def test_every_reference_leads_to_a_component() -> None:
    document = openapi_document()
    found = set(references(document))

    assert found
    assert {ref.rpartition("/")[2] for ref in found} <= set(document["components"]["schemas"])


def test_no_module_of_ours_is_named() -> None:
    assert b"inference." not in msgspec.json.encode(openapi_document())


def test_every_line_about_a_field_is_used() -> None:
    names = {
        name
        for row in ENDPOINTS.values()
        for field in msgspec.structs.fields(row.body)
        for name in (field.encode_name, f"{row.body.__name__}.{field.encode_name}")
    }

    assert set(MEANINGS) <= names


@pytest.mark.parametrize("path", [p for p, row in ENDPOINTS.items() if row.takes.endswith("json")])
def test_the_example_of_a_path_works_and_its_answer_is_as_told(
    path: str, http: httpx.Client
) -> None:
    row = ENDPOINTS[path]

    answer = http.post(f"/v1/{path}", json={**row.example, "model": MODELS[row.task]})

    assert answer.status_code == 200, answer.text
    check(answer.json(), {"$ref": f"#/components/schemas/{shape_name(row)}"})


def test_an_error_is_as_told(http: httpx.Client) -> None:
    for path, row in ENDPOINTS.items():
        answer = http.post(f"/v1/{path}", json={})
        status = 400 if row.takes.endswith("json") else 415
        told = openapi_document()["paths"][f"/v1/{path}"]["post"]["responses"][str(status)]
        assert answer.status_code == status, row.path
        check(answer.json(), told["content"]["application/json"]["schema"])


def test_models_are_as_told(http: httpx.Client) -> None:
    check(http.get("/v1/models").json(), {"$ref": "#/components/schemas/ModelList"})
    check(http.get(f"/v1/models/{MODEL}").json(), {"$ref": "#/components/schemas/ModelDocument"})


def shape_name(row: Endpoint[Any]) -> str:
    operation = openapi_document()["paths"][f"/v1/{row.path}"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return str(schema["$ref"]).rpartition("/")[2]


def check(answer: Any, schema: dict[str, Any]) -> None:
    """Assert that `answer` is of `schema`, which refers into the document."""
    components = {"components": openapi_document()["components"]}
    jsonschema.Draft202012Validator({**schema, **components}).validate(answer)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = openapi_document()["components"]["schemas"][name]
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(ref := part.get("$ref"), str):
            yield ref
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)
