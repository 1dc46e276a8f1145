"""The OpenAPI document of the gateway, made from the table of endpoints by drf-spectacular.

It is made once, when it is first asked for; no request to an engine passes through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any, Final, override

import msgspec
from django.conf import settings
from django.urls import URLPattern, path
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from inference.gateway.drf import AsyncAPIView
from inference.gateway.endpoint import Endpoint
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.errors import (
    OPENAI,
    BadSignature,
    ClientLeft,
    GatewayError,
    MethodNotAllowed,
    WrongMetricsToken,
)
from inference.gateway.meanings import MEANINGS
from inference.gateway.shapes import AnthropicError, Error, ModelDocument, ModelList
from inference.gateway.views import EndpointView, ModelListView, ModelView

type Json = dict[str, Any]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
MODEL_SHAPES: Final[dict[type, type[msgspec.Struct]]] = {
    ModelListView: ModelList,
    ModelView: ModelDocument,
}
NOT_SHOWN: Final = (BadSignature, ClientLeft, MethodNotAllowed, WrongMetricsToken)
"""Errors that nobody who follows the document gets."""
_COMPONENT: Final = "#/components/schemas/{name}"
_QUALIFIED: Final = re.compile(rb'(["/])inference\.gateway\.([\w.]+)')


@cache
def openapi_json() -> bytes:
    return msgspec.json.encode(openapi_document())


@cache
def openapi_document() -> Json:
    """OpenAPI 3.1. Bodies are described by the structs that read them."""
    document: Json = SchemaGenerator(patterns=_patterns()).get_schema(public=True)
    document["info"] = {
        "title": f"{settings.SITE_NAME} API",
        "version": settings.VERSION,
        "description": f"OpenAI's API and Anthropic's. Guides: {settings.CONSOLE_URL}/docs/",
    }
    document["servers"] = [{"url": settings.GATEWAY_URL.removesuffix("/v1")}]
    document["components"]["schemas"] = _components()
    return _short_names(document)


def streams(row: Endpoint[Any]) -> bool:
    """Whether a request to this path may ask for a stream."""
    return type(row).stream is not Endpoint.stream


def units(row: Endpoint[Any]) -> list[str]:
    """What is counted and billed, by the names of the components of a price."""
    return sorted(row.task.components) if row.is_metered else []


def errors_of(status: int | None = None) -> Iterator[type[GatewayError]]:
    """What can go wrong at the gateway, by status; the management has errors of its own."""
    found = sorted(set(_subclasses(GatewayError)), key=lambda error: (error.status, error.__name__))
    ours = (e for e in found if e.__module__.startswith("inference.") and e not in NOT_SHOWN)
    return (e for e in ours if status in {None, e.status})


def _subclasses(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Those of the gateway; the management API of the console has some of its own."""
    if error.__module__.startswith("inference."):
        yield error
    for child in error.__subclasses__():
        yield from _subclasses(child)


def _patterns() -> list[URLPattern]:
    rows = [_pattern(row.path, EndpointView, endpoint=row) for row in ENDPOINTS.values()]
    models = (_pattern("models", ModelListView), _pattern("models/<path:model>", ModelView))
    return [*rows, *models]


def _pattern(route: str, view: type[AsyncAPIView], **initkwargs: Any) -> URLPattern:
    return path(f"v1/{route}", view.as_view(schema=GatewaySchema(), **initkwargs))


def _components() -> Json:
    """The structs that read requests and those that describe answers."""
    bodies = [row.body for row in ENDPOINTS.values()]
    shapes = [row.shape for row in ENDPOINTS.values()]
    structs = dict.fromkeys([*bodies, *shapes, *MODEL_SHAPES.values(), Error, AnthropicError])
    _refs, components = msgspec.json.schema_components(structs, ref_template=_COMPONENT)
    for row in ENDPOINTS.values():
        _explain(components[row.body.__name__], row)
    return components


def _explain(schema: Json, row: Endpoint[Any]) -> None:
    """Say what each field means; what a path cannot do is no field of it."""
    if not streams(row):
        schema["properties"].pop("stream", None)
    for name, field in schema["properties"].items():
        field["description"] = MEANINGS.get(f"{row.body.__name__}.{name}") or MEANINGS[name]


def _short_names(document: Json) -> Json:
    """Names that two modules share, without the path of the module."""
    text = _QUALIFIED.sub(lambda m: m[1] + _short(m[2].decode()), msgspec.json.encode(document))
    short: Json = msgspec.json.decode(text)
    return short


def _short(name: str) -> bytes:
    *modules, struct = name.split(".")
    return "".join([*(m.title() for m in modules if m != "bodies"), struct]).encode()


class GatewaySchema(AutoSchema):
    """One path: a row of the table, or a view of the models."""

    @property
    def row(self) -> Endpoint[Any] | None:
        return getattr(self.view, "endpoint", None)

    @override
    def get_operation_id(self) -> str:
        name = self.row.path if self.row else self.path.partition("/{")[0].removeprefix("/v1/")
        suffix = "" if self.row else "_retrieve" if "{" in self.path else "_list"
        return name.replace("/", "_") + suffix

    @override
    def get_summary(self) -> str:
        return self.row.summary if self.row else self.get_description()

    @override
    def get_description(self) -> str:  # type: ignore[override]  # as in AutoSchema
        return "" if self.row else (type(self.view).__doc__ or "")

    @override
    def get_tags(self) -> list[str]:
        return [self.row.task.value if self.row else "models"]

    @override
    def get_request_serializer(self) -> None:
        """The gateway reads with structs."""

    get_response_serializers = get_request_serializer

    @override
    def get_extensions(self) -> Json:
        row = self.row
        return {"x-sluice-task": row.task.value, "x-sluice-units": units(row)} if row else {}

    @override
    def _get_request_body(self, direction: str = "request") -> Json | None:
        row = self.row
        if row is None:
            return None
        media = {"schema": _ref(row.body), "example": {"model": "…", **row.example}}
        return {"required": True, "content": {row.takes: media}}

    @override
    def _get_response_bodies(self, direction: str = "response") -> Json:
        row = self.row
        shape = row.shape if row else MODEL_SHAPES[type(self.view)]
        content: Json = {JSON: {"schema": _ref(shape)}}
        if row and streams(row):
            content[EVENTS] = {"schema": {"type": "string"}}
        good = {"description": "The answer", "headers": _HEADERS, "content": content}
        return {"200": good, **self._errors()}

    def _errors(self) -> Json:
        shape = Error if self.row is None or self.row.surface is OPENAI else AnthropicError
        content = {JSON: {"schema": _ref(shape)}}
        needed = {error.status for error in errors_of()} if self.row else {401, 404}
        return {
            str(status): {"description": _described(status), "content": content}
            for status in sorted(needed)
        }


_HEADERS: Final = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in (
        ("x-request-id", "The id of the request, and of its usage event"),
        ("x-sluice-region", "Where the engine stands that answered"),
        ("x-sluice-fallback", "The model that was asked for, when its fallback answered"),
        ("deprecation", "Of a deprecated model: since when it is, as `@` and seconds since 1970"),
        ("sunset", "Of a deprecated model: until when it is served, if that is known"),
    )
}


def _ref(struct: type[msgspec.Struct]) -> Json:
    schema, _ = msgspec.json.schema_components([struct], ref_template=_COMPONENT)
    return dict(schema[0])


def _described(status: int) -> str:
    codes = sorted({error.code for error in errors_of(status) if error.code})
    return HTTPStatus(status).phrase + (f": {', '.join(codes)}" if codes else "")


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """The three headers that may carry the key."""

    target_class = "inference.gateway.auth.ApiKeyAuthentication"
    name = ["bearer", "x-api-key", "api-key"]  # noqa: RUF012 - as in its base

    @override
    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]

    @override
    def get_security_definition(self, auto_schema: AutoSchema) -> list[Json]:
        plain = [{"type": "apiKey", "in": "header", "name": name} for name in self.name[1:]]
        return [{"type": "http", "scheme": "bearer"}, *plain]
