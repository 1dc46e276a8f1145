"""Views that say what they read and answer as the types of their methods.

    @operation
    def post(self, caller: Caller, body: ProjectNew) -> Project: ...

`body` and `query` are structs; what else is named comes from the path. The types are what the
OpenAPI document is made of, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, cast, get_type_hints, override

import msgspec
from django.http import HttpResponse, HttpResponseBase
from msgspec import Struct
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from console.api.callers import (
    AdminKeyAuthentication,
    MemberAuthentication,
    OperatorAuthentication,
    caller_of,
)
from console.api.errors import NotFound, WrongAdminKey, exception_handler
from console.api.idempotency import once
from console.api.reading import Asked, body_read, query_read
from console.api.throttling import CallerThrottle
from tenants.audit import acting

METHODS: Final = ("get", "post", "delete")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a path reads and answers; `does` is a sentence."""

    does: str
    query: type[Struct]
    body: type[Struct] | None
    answer: type[Struct]

    @classmethod
    def of(cls, method: Callable[..., Struct]) -> Operation:
        hints = get_type_hints(method)
        return cls(
            (method.__doc__ or "").strip(),
            hints.get("query", Asked),
            hints.get("body"),
            hints["return"],
        )


def operation(method: Callable[..., Struct]) -> Callable[..., HttpResponseBase]:
    """A method of a view that answers a struct, as one that DRF calls."""
    declared = Operation.of(method)

    @wraps(method)
    def called(self: ApiView, request: Request, **place: Any) -> HttpResponse:
        caller = caller_of(request)

        def act() -> bytes:
            given = _given(declared, request)
            return _ENCODER.encode(method(self, caller, **place, **given))

        if request.method != "POST" or caller is None:
            return _answer(act())
        done = once(caller, request, act)
        return _answer(done.answer, is_replayed=done.is_replayed)

    called.operation = declared  # type: ignore[attr-defined]  # for the OpenAPI document
    return called


def _given(declared: Operation, request: Request) -> dict[str, Struct]:
    """The body and the query, of which one that is not declared is empty."""
    given = dict[str, Struct]()
    query = query_read(request._request.GET, declared.query)
    if declared.query is not Asked:
        given["query"] = query
    if declared.body:
        kind = request.headers.get("Content-Type", "")
        given["body"] = body_read(request.body, kind, declared.body)
    return given


def _answer(body: bytes, *, is_replayed: bool = False) -> HttpResponse:
    response = HttpResponse(body, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if is_replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


class OnlyJson(BaseContentNegotiation):
    """Whatever is accepted: the API speaks JSON alone."""

    @override
    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    @override
    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[JSONRenderer, str]:
        return JSONRenderer(), "application/json"


class IsAllowed(BasePermission):
    """What the row of the route says."""

    @override
    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = caller_of(request)
        if caller is None:
            raise WrongAdminKey(headers={"WWW-Authenticate": "Bearer"})
        caller.check(cast("ApiView", view).route, cast("str", request.method))
        return True


class ApiView(APIView):
    """A path of the management API, by the name of its row in ROUTES."""

    route: str = ""
    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes = (IsAllowed,)
    throttle_classes = (CallerThrottle,)
    content_negotiation_class = OnlyJson
    http_method_names = ("head", *METHODS)

    @override
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with acting(auth=self._auth):
            return super().dispatch(request, *args, **kwargs)

    def _auth(self) -> str:
        """How the caller has told who they are, for the audit trail."""
        caller = caller_of(self.request)
        return caller.auth() if caller else ""

    @override
    def get_exception_handler(self) -> Any:
        return exception_handler

    @override
    def handle_exception(self, exc: Exception) -> Any:
        return exception_handler(exc, self.get_exception_handler_context())

    @override
    def finalize_response(  # type: ignore[override]  # Django's, not DRF's
        self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        if throttle := request._request.META.get("sluice.throttle"):
            throttle.told(response)
        return response


class OrganizationView(ApiView):
    """For an admin key or a member; `caller.organization` is theirs."""

    authentication_classes = (AdminKeyAuthentication, MemberAuthentication)


class PlatformView(ApiView):
    """For operators."""

    authentication_classes = (OperatorAuthentication,)


class UnknownView(APIView):
    """Any other path."""

    authentication_classes = permission_classes = throttle_classes = ()
    content_negotiation_class = OnlyJson
    schema = None

    @override
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        said = f"There is no path {request.path[:200]} here. See the reference in the docs."
        return exception_handler(NotFound(said, code="unknown_url"), {})


class OpenApiView(APIView):
    """The document of all paths."""

    authentication_classes = permission_classes = throttle_classes = ()
    content_negotiation_class = OnlyJson
    http_method_names = ("get", "head")
    schema = None

    def get(self, request: Request) -> HttpResponse:
        from console.api.schema import openapi_json

        return HttpResponse(openapi_json(), content_type="application/json")
