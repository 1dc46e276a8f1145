"""What goes in and comes out: requests, answers, and refusals in Stripe's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Object = dict[str, Any]
"""An object of Stripe, as JSON. Keys that begin with `_` are ours, and never shown."""

DOCS: Final = "https://stripe.com/docs/error-codes/"


@dataclass(frozen=True, slots=True)
class Request:
    """`query` and `body` are form-encoded, names of `headers` in lower case."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    headers: Mapping[str, str]


class ConnectionLost(Exception):  # noqa: N818 - told to the client
    """The client gets no answer, or a part of one, whatever was done."""


class Refusal(Exception):  # noqa: N818 - an answer like others
    """An error object of Stripe and its status."""

    def __init__(self, status: int, kind: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error: Object = {"message": message, "type": kind}
        self.error |= {name: value for name, value in more.items() if value is not None}
        if code := more.get("code"):
            self.error["doc_url"] = DOCS + code.replace("_", "-")


def invalid(
    message: str, param: str | None = None, code: str | None = None, *, status: int = 400
) -> Refusal:
    return Refusal(status, "invalid_request_error", message, param=param, code=code)


def missing(param: str) -> Refusal:
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def unknown(param: str) -> Refusal:
    return invalid(f"Received unknown parameter: {param}", param, "parameter_unknown")


def no_such(what: str, wanted: str, param: str = "id") -> Refusal:
    """404 for the object that the path names, 400 for one that a parameter names."""
    status = 404 if param == "id" else 400
    message = f"No such {what}: '{wanted}'"
    return invalid(message, param, "resource_missing", status=status)


def encoded(body: Object) -> bytes:
    return json.dumps(body, indent=2, ensure_ascii=False).encode()
