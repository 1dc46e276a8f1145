"""What one path of the API is: what it takes, what an engine is asked, how the answer looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, Protocol
from uuid import UUID

import msgspec

from inference.engines import Engine, Fault, Usage
from inference.gateway.bodies import Body, body_decoder
from inference.gateway.bounds import Bound, Sent
from inference.gateway.errors import OPENAI, GatewayError, InvalidRequest, Surface
from inference.models import Task

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Asked:
    """The engine that is asked: its kind, its own name for the model, the tenant's cache salt.

    `family` is what the catalog says of the model. The lower `priority` is, the sooner the engine
    begins, if others wait there.
    """

    engine: Engine
    model: str
    salt: str
    family: str = ""
    priority: int = 0


class Question(NamedTuple):
    """What is sent to an engine. `path` is under its root."""

    path: str
    data: bytes
    content_type: str = JSON


class Answer(NamedTuple):
    """A whole answer for the client, and what the engine counted for it."""

    data: bytes
    usage: Usage
    content_type: str = JSON


class Stream(Protocol):
    """Turns the events of an engine into those that the client gets.

    `is_done` once the engine said that it is, `is_broken` once it sent an error instead, `error`.
    """

    is_done: bool
    is_broken: bool
    error: bytes

    @property
    def usage(self) -> Usage:
        """The engine's count so far."""

    def feed(self, data: bytes) -> bytes:
        """The whole events in `data` and what was left before it, as the client may see them."""


class Endpoint[B: Body](ABC):
    """A row of the table in `inference.gateway.endpoints`. `path` is under /v1.

    `summary` is a line for the documentation; `limit` names the setting with the most bytes of a
    body. `streams_as` are the types of what an engine streams. What is not metered is free and
    leaves no usage event. `renamed` tells what fields of a chat are called here, for what an engine
    finds wrong. `takes` is the type of a body, `shape` what a whole answer looks like, and
    `example` a body less its model.
    """

    task: ClassVar[Task]
    streams_as: ClassVar[frozenset[str]] = frozenset({EVENTS})
    surface: ClassVar[Surface] = OPENAI
    is_metered: ClassVar[bool] = True
    limit: ClassVar[str] = "GATEWAY_MAX_BODY_BYTES"
    renamed: ClassVar[Mapping[str, str]] = MappingProxyType({})
    takes: ClassVar[str] = JSON
    shape: ClassVar[type[msgspec.Struct]]
    example: ClassVar[Mapping[str, Any]]

    def __init__(self, path: str, body: type[B], summary: str) -> None:
        self.path, self.body, self.summary = path, body, summary
        self._decode = body_decoder(body)

    def read(self, data: bytes, content_type: str) -> B:
        """The request, strictly typed. Raises InvalidRequest."""
        body = self._decode(data)
        if type(self).stream is Endpoint.stream:
            body.stream = None  # nothing is streamed here, whoever asks for it
        return body

    def images(self, body: B) -> Iterable[str]:
        """The URL of each image in `body`."""
        return ()

    def opening(self, body: B) -> Iterable[str]:
        """The texts that its prompt begins with; none where an engine keeps nothing of it."""
        return ()

    def fault(self, fault: Fault) -> InvalidRequest:
        """What the customer did wrong, in the names of this path's own fields."""
        message, param = fault.message, fault.param or ""
        for name, own in self.renamed.items():
            message = message.replace(f"`{name}`", f"`{own}`")
        return InvalidRequest(
            message, param=self.renamed.get(param, param) or None, code=fault.code
        )

    @abstractmethod
    def bound(self, body: B, sent: Sent) -> Bound:
        """The most that an engine can use for `body`."""

    def counting(self, body: B, asked: Asked) -> Question | None:
        """What asks an engine for the tokens of the prompt of `body`; None where none can tell."""
        return None

    @abstractmethod
    def question(self, body: B, asked: Asked) -> Question:
        """`body` as the engine gets it: what was parsed, and what the gateway owns.

        Raises InvalidRequest when this kind of engine cannot do it.
        """

    @abstractmethod
    def answer(self, data: bytes, body: B, engine: Engine, model: str) -> Answer | None:
        """A whole answer of the engine for the client, who knows the model as `model`.

        None when it is not an answer that can be billed: a fault of the engine.
        """

    def stream(self, body: B, engine: Engine, model: str) -> Stream:
        """A new stream, for a body that asks for one."""
        raise NotImplementedError

    def last_words(self, stream: Stream | None, error: GatewayError, request_id: UUID) -> bytes:
        """How `stream` ends by `error`: with an event that SDKs raise. None has no events yet."""
        return self.surface.event(error, request_id)


def encode_with(body: msgspec.Struct, extras: bytes) -> bytes:
    """`body` as JSON, with JSON members that each have a comma before them."""
    return msgspec.json.encode(body)[:-1] + extras + b"}"
