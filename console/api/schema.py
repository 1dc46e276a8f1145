"""The OpenAPI document of the management API, made from its views by drf-spectacular.

It is made once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, override

import msgspec
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from msgspec import Struct

from console.api import urls
from console.api.callers import CHOSEN
from console.api.idempotency import HEADER
from console.api.operations import METHODS, Operation, OrganizationView
from inference.gateway.shapes import Error

type Json = dict[str, Any]

JSON: Final = "application/json"
_COMPONENT: Final = "#/components/schemas/{name}"
_TEXT: Final[Json] = {"type": "string", "maxLength": 255}


@cache
def openapi_json() -> bytes:
    return msgspec.json.encode(openapi_document())


@cache
def openapi_document() -> Json:
    """OpenAPI 3.1."""
    patterns = list(urls.patterns(ManagementSchema))
    document: Json = SchemaGenerator(patterns=patterns).get_schema(public=True)
    document["info"] = {
        "title": f"{settings.SITE_NAME} management API",
        "version": settings.VERSION,
        "description": "What the console does, for scripts. In OpenAI's shapes where it has one.",
    }
    document["servers"] = [{"url": settings.MANAGEMENT_URL}]
    document["components"]["schemas"] = _components()
    return document


def operations() -> Iterator[Operation]:
    """What each method of each path does."""
    for pattern in urls.patterns():
        view = pattern.callback.view_class  # type: ignore[attr-defined]  # as_view of Django
        for method in METHODS:
            if hasattr(view, method):
                yield getattr(view, method).operation


def _components() -> Json:
    """What bodies and answers are made of; a query is its fields."""
    found = list(operations())
    bodies = [one.body for one in found if one.body]
    structs = dict.fromkeys([*bodies, *(one.answer for one in found), Error])
    queries = dict.fromkeys(one.query for one in found)
    _refs, components = _described([*structs, *queries])
    for query in queries:
        components.pop(query.__name__, None)
    return components


def _described(structs: list[Any]) -> tuple[Any, Json]:
    return msgspec.json.schema_components(structs, ref_template=_COMPONENT)


def _ref(struct: type[Struct]) -> Json:
    [ref], _ = _described([struct])
    return dict(ref)


def _fields(query: type[Struct]) -> Iterator[Json]:
    _refs, components = _described([query])
    schema = components[query.__name__]
    for name, field in schema.get("properties", {}).items():
        field = _never_null(field)
        is_list = field.get("type") == "array"
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": field,
            **({"style": "form", "explode": True} if is_list else {}),
        }


def _never_null(field: Json) -> Json:
    """A field of a query that is left out is what a body would call null."""
    kept = {name: value for name, value in field.items() if name not in {"anyOf", "default"}}
    if field.get("default") is not None:
        kept["default"] = field["default"]
    for one in field.get("anyOf", ()):
        kept |= one if one != {"type": "null"} else {}
    return kept


class ManagementSchema(AutoSchema):
    """One method of one path."""

    @property
    def operation(self) -> Operation:
        found: Operation = getattr(self.view, self.method.lower()).operation
        return found

    @override
    def get_operation_id(self) -> str:
        route: str = getattr(self.view, "route", "")
        kind = getattr(self.view, "kind", "")
        return "_".join([one for one in (route, kind, self.method.lower()) if one])

    @override
    def get_summary(self) -> str:
        return self.operation.does

    @override
    def get_description(self) -> str:  # type: ignore[override]  # as in AutoSchema
        return ""

    @override
    def get_tags(self) -> list[str]:
        _, area, first, *_rest = self.path.split("/")
        return [first if area == "organization" else f"platform {first}"]

    @override
    def get_request_serializer(self) -> None:
        """The views read with structs."""

    get_response_serializers = get_request_serializer

    @override
    def _get_parameters(self) -> list[Json]:
        parameters = [*super()._get_parameters(), *_fields(self.operation.query)]
        if self.method == "POST":
            parameters.append(_header(HEADER, "What is sent again with it is done once"))
        if isinstance(self.view, OrganizationView):
            parameters.append(_header(CHOSEN, "Of somebody logged in, the id or short name"))
        return parameters

    @override
    def _get_request_body(self, direction: str = "request") -> Json | None:
        body = self.operation.body
        if body is None:
            return None
        return {"required": True, "content": {JSON: {"schema": _ref(body)}}}

    @override
    def _get_response_bodies(self, direction: str = "response") -> Json:
        good = {JSON: {"schema": _ref(self.operation.answer)}}
        bad = {JSON: {"schema": _ref(Error)}}
        return {
            "200": {"description": "The answer", "content": good},
            "4XX": {"description": "Why not", "content": bad},
        }


def _header(name: str, text: str) -> Json:
    return {"name": name, "in": "header", "description": text, "schema": _TEXT}


class AdminKeyScheme(OpenApiAuthenticationExtension):
    target_class = "console.api.callers.AdminKeyAuthentication"
    name = "admin_key"

    @override
    def get_security_definition(self, auto_schema: AutoSchema) -> Json:
        return {"type": "http", "scheme": "bearer"}


class MemberScheme(OpenApiAuthenticationExtension):
    """Somebody who is logged in."""

    target_class = "console.api.callers.MemberAuthentication"
    name = "session"

    @override
    def get_security_definition(self, auto_schema: AutoSchema) -> Json:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class OperatorScheme(MemberScheme):
    target_class = "console.api.callers.OperatorAuthentication"
    name = "operator_session"
