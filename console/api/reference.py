"""The page about every path of the management API, from its OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from console.api.schema import openapi_document
from console.reference import table, type_words

type Json = dict[str, Any]

_INTRO: Final = """\
# Management reference

Every path of the [management API](management.md) under `{{ management_url }}`, from the same table
that serves it. Machines read it as [OpenAPI]({{ management_url }}/openapi.json).
"""
_OF: Final = re.compile(r"\[(Page|UsagePage|Bucket)_(\w+?)_\]\(objects\.md#\w+\)")
_PRINTABLE: Final = re.compile(r" matching `\^[^`]*\\x00[^`]*`")
"""Of texts: no bytes of nothing, which nobody sends."""
_ELSEWHERE: Final = re.compile(r"\]\(objects\.md#(\w+)\)")


def management_markdown() -> str:
    """The page, with gaps for what this installation fills in."""
    return "\n".join([_INTRO, *_sections(), *_objects()])


def _sections() -> Iterator[str]:
    found = [
        (operation["tags"][0], method, path, operation)
        for path, methods in openapi_document()["paths"].items()
        for method, operation in methods.items()
    ]
    for tag, rows in groupby(sorted(found, key=lambda row: row[0]), key=lambda row: row[0]):
        yield f"## {tag.replace('_', ' ').capitalize().replace('api', 'API')}\n"
        for _tag, method, path, operation in rows:
            yield f"### {method.upper()} {path}\n\n{_section(operation)}"


def _section(operation: Json) -> str:
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    parts = [operation["summary"]]
    if asked := [one for one in operation["parameters"] if one["in"] == "query"]:
        rows = [(_name(one["name"], one["required"]), _said(one["schema"])) for one in asked]
        parts.append(table(("Query", "Is"), rows))
    if body := operation.get("requestBody"):
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        parts.append(_fields(openapi_document()["components"]["schemas"][name], "Body"))
    return "\n\n".join([*parts, f"Answers with {_words(answer)}.\n"])


def _fields(schema: Json, head: str = "Field") -> str:
    """What is required is told of bodies alone: answers have all of it."""
    fields = schema.get("properties", {})
    required = schema.get("required", ()) if head == "Body" else ()
    rows = [(_name(name, name in required), _said(field)) for name, field in fields.items()]
    told = f"{schema['description']}\n\n" if "description" in schema else ""
    return told + (table((head, "Is"), rows) if rows else "It has no fields.\n")


def _name(name: str, is_required: object) -> str:
    return f"`{name}` **required**" if is_required else f"`{name}`"


def _said(field: Mapping[str, Any]) -> str:
    kind = _words(dict(field))
    usual = field.get("default")
    parts = [f"{kind[:1].upper()}{kind[1:]}.", field.get("description", "")]
    if usual not in (None, "", []):
        parts.append(f"Usually `{json.dumps(usual)}`.")
    return " ".join(part for part in parts if part)


def _words(schema: Json) -> str:
    """As on the other page; a list in pages is told as what it is a list of."""
    text = _OF.sub(lambda found: f"{_PAGES[found[1]]} [{found[2]}](#{found[2].lower()})",
                   type_words(schema))  # fmt: skip
    text = _PRINTABLE.sub("", text)
    return _ELSEWHERE.sub(lambda found: f"](#{found[1].lower()})", text)


_PAGES: Final = {
    "Page": "a page of",
    "UsagePage": "a page of buckets of",
    "Bucket": "bucket of",
}


def _objects() -> Iterator[str]:
    """What answers are made of. Pages and buckets are told on the page of the guide."""
    yield "## Objects\n"
    bodies = {
        body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for methods in openapi_document()["paths"].values()
        for operation in methods.values()
        if (body := operation.get("requestBody"))
    }
    for name, schema in sorted(openapi_document()["components"]["schemas"].items()):
        if name not in bodies and not name.endswith("_"):
            yield f"### {name}\n\n{_fields(schema)}"
