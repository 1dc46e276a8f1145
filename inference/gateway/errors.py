"""Everything that can go wrong under /v1, in OpenAI's shape or Anthropic's."""
# ruff: noqa: N818 - each is named for what went wrong

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol
from uuid import UUID

import msgspec
import structlog
from django.http import HttpResponse
from rest_framework import exceptions

log = structlog.get_logger()


class GatewayError(Exception):
    """An answer other than the one asked for. `message` says what to do about it."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    message: str = "The server failed on this request. Try again, and tell us the request id."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.message
        self.param, self.code = param, code or self.code
        self.headers = headers or {}
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class Surface:
    """In whose shape a path answers, and under which names besides ours the request id."""

    document: Callable[[GatewayError, UUID], dict[str, Any]]
    event_start: bytes
    id_headers: tuple[bytes, ...]

    def body(self, error: GatewayError, request_id: UUID) -> bytes:
        return msgspec.json.encode(self.document(error, request_id))

    def event(self, error: GatewayError, request_id: UUID) -> bytes:
        """`error` within a stream that has begun."""
        return self.event_start + self.body(error, request_id) + b"\n\n"


def _openai(error: GatewayError, request_id: UUID) -> dict[str, Any]:
    names = ("message", "type", "param", "code")
    return {"error": {name: getattr(error, name) for name in names}}


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
    404: "not_found_error", 405: "invalid_request_error", 408: "timeout_error",
    413: "request_too_large", 415: "invalid_request_error", 429: "rate_limit_error",
    503: "overloaded_error", 504: "timeout_error",
}  # fmt: skip


def _anthropic(error: GatewayError, request_id: UUID) -> dict[str, Any]:
    is_money = isinstance(error, InsufficientQuota)
    kind = "billing_error" if is_money else _ANTHROPIC_TYPES.get(error.status, "api_error")
    about = {"type": kind, "message": error.message}
    return {"type": "error", "error": about, "request_id": str(request_id)}


OPENAI: Final = Surface(_openai, b"data: ", ())
ANTHROPIC: Final = Surface(_anthropic, b"event: error\ndata: ", (b"request-id",))


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    message = "The request is not valid."


class InvalidApiKey(InvalidRequest):
    """One answer for every bad key, so that it tells nothing of any key."""

    status = 401
    code = "invalid_api_key"
    message = (
        "The API key is missing or not valid. "
        "Send `Authorization: Bearer sluice_sk_…` with a key from the console."
    )


class AdminKeyRefused(InvalidApiKey):
    """An admin key, or what looks like one: whether it exists is not told."""

    code = "admin_key_not_allowed"
    message = (
        "This is an admin key: it manages an organization and calls no models. "
        "Send an API key, which begins with `sluice_sk_`."
    )


class KeyMayNot(InvalidRequest):
    """A good key that is not allowed this."""

    status = 403
    code = "missing_scope"

    @classmethod
    def do(cls, task: str) -> KeyMayNot:
        text = f"This API key may not do {task}. Missing scope: `{task}`. {_ALLOW}"
        return cls(text)

    @classmethod
    def call(cls, model: str) -> KeyMayNot:
        text = f"This API key may not call the model `{model}`. Missing scope: `{model}`. {_ALLOW}"
        return cls(text, param="model")

    @classmethod
    def buy(cls, model: str) -> KeyMayNot:
        text = f"The plan of your organization does not include the model `{model}`. "
        return cls(text + "Choose another plan in the console.", param="model")

    @classmethod
    def come_from(cls, peer: str) -> KeyMayNot:
        text = f"This API key may not be used from {peer[:50] or 'this address'}. {_ALLOW}"
        return cls(text, code="ip_not_allowed")


_ALLOW: Final = "Allow it on the page of the key in the console, or use another key."


class OrganizationStopped(InvalidRequest):
    """A good key, of an organization that makes no requests now."""

    status = 403

    @classmethod
    def by(cls, state: str) -> OrganizationStopped:
        """`state` is suspended, archived or deleted."""
        text = (
            f"Your organization is {state}, so its requests are refused. "
            "The console tells its members why; an owner or the operator can change that."
        )
        return cls(text, code=f"organization_{state}")


class KeyRevoked(InvalidApiKey):
    """What ends a request whose key is revoked, or its organization stopped, while it runs."""

    message = "The API key was revoked while this request ran, or its organization was stopped."


class WrongMetricsToken(InvalidRequest):
    status = 401
    code = "invalid_metrics_token"
    message = "Send `Authorization: Bearer …` with the METRICS_TOKEN of this server."


class BadSignature(InvalidRequest):
    """A report of leaked keys by nobody that is known."""

    status = 401
    code = "invalid_signature"
    message = (
        "A report must be signed: `Github-Public-Key-Identifier` names one of the keys that this "
        "server knows, and `Github-Public-Key-Signature` is the signature of the body by it. "
        "Whoever holds a key can revoke it in the console."
    )


class UnknownPath(InvalidRequest):
    status = 404
    code = "unknown_url"


class NothingStored(InvalidRequest):
    status = 404
    code = "response_not_found"
    message = (
        "Responses are not stored, so they cannot be retrieved, cancelled, deleted or referred to. "
        "Keep what `POST /v1/responses` answers, and send earlier items in `input`."
    )


class ModelNotFound(InvalidRequest):
    status = 404
    code = "model_not_found"

    @classmethod
    def named(cls, model: str) -> ModelNotFound:
        shown = model if len(model) <= 100 else model[:100] + "…"
        text = f"The model `{shown}` does not exist. `GET /v1/models` lists those that do."
        return cls(text, param="model")

    @classmethod
    def retired(cls, model: str, replacement: str) -> ModelNotFound:
        instead = (
            f"Use `{replacement}` instead." if replacement else "`GET /v1/models` lists others."
        )
        return cls(f"The model `{model}` was retired. {instead}", param="model")


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_allowed"

    @classmethod
    def instead_use(cls, methods: Sequence[str]) -> MethodNotAllowed:
        allowed = ", ".join(methods)
        return cls(f"This path takes {allowed} only.", headers={"Allow": allowed})


class InvalidHost(InvalidRequest):
    code = "invalid_host"
    message = "Send one `Host` header, with the name of this server."


class BodyBroken(InvalidRequest):
    """Whoever left reads it no more; whoever cut a chunk wrongly does."""

    code = "incomplete_body"
    message = "The body of the request broke off, or its chunks are malformed. Send it again."


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"

    @classmethod
    def over(cls, limit_bytes: int) -> BodyTooLarge:
        return cls(f"The body is larger than {limit_bytes:,} bytes. Send a smaller one.")


class RequestTimeout(InvalidRequest):
    status = 408
    code = "request_timeout"
    message = "The body of the request did not come in time. Send it again."


class UnsupportedEncoding(InvalidRequest):
    status = 415
    code = "unsupported_content_encoding"
    message = "The body is compressed. Send it as plain JSON, without `Content-Encoding`."


class UnsupportedTransfer(InvalidRequest):
    status = 415
    code = "unsupported_transfer_encoding"
    message = "Send the body with a `Content-Length`, or as `Transfer-Encoding: chunked` alone."


class UnsupportedMedia(InvalidRequest):
    status = 415
    code = "unsupported_media_type"
    message = "Send the file in a form, as `multipart/form-data`."


class ClientLeft(GatewayError):
    """Nobody reads this answer; the status is for the log."""

    status = 499
    code = "client_disconnect"


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    message = "The model's server failed on this request; nothing was billed. Try again."


class NoCapacity(GatewayError):
    status = 503
    code = "no_capacity"
    message = "No server has room for this model at the moment. Try again in a few seconds."


class RegionUnavailable(GatewayError):
    """Of the regions that the organization allows; no other is asked."""

    status = 503
    code = "region_unavailable"
    message = (
        "No server of this model is available in the regions that your organization allows, "
        "and no other region was asked. Try again later, or allow another region."
    )


class SlowDown(GatewayError):
    """The organization itself has as many requests waiting as may wait."""

    status = 429
    type = "rate_limit_exceeded"
    code = "slow_down"
    message = (
        "Too many of your requests wait for this model already. Send fewer at a time, "
        "and try again in a few seconds."
    )


class RateLimited(GatewayError):
    """A limit is reached; waiting helps."""

    status = 429
    type = "rate_limit_exceeded"
    code = "rate_limit_exceeded"


class InsufficientQuota(GatewayError):
    """The money is used up; waiting does not help."""

    status = 429
    type = "insufficient_quota"


class MeteringAway(GatewayError):
    """What is used could not be counted now, so nothing is served that would have to be."""

    status = 503
    code = "metering_unavailable"
    message = "Usage cannot be counted at the moment; nothing was billed. Try again soon."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "2"})


class NotReady(GatewayError):
    status = 503
    code = "not_ready"
    message = "The gateway is starting. Try again in a few seconds."


class Draining(GatewayError):
    status = 503
    code = "draining"
    message = "This server is being restarted; nothing was billed. Send the request again."


class UpstreamTimeout(GatewayError):
    status = 504
    code = "upstream_timeout"
    message = "The model took too long to answer. Ask for fewer tokens, or stream the answer."


class Asker(Protocol):
    """Of a request, what the shape of an error takes."""

    id: UUID
    surface: Surface


def error_response(error: GatewayError, request: Asker) -> HttpResponse:
    body = request.surface.body(error, request.id)
    response = HttpResponse(body, status=error.status, content_type="application/json")
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's exception handler for the gateway: every exception becomes an answer."""
    request: Asker = context["request"]
    match exc:
        case GatewayError():
            return error_response(exc, request)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return error_response(InvalidApiKey(), request)
        case exceptions.APIException() if exc.status_code < 500:
            return error_response(InvalidRequest(), request)
    log.error("request.failed", request_id=str(request.id), exc_info=exc)
    return error_response(GatewayError(), request)
