"""The row of the table for `/v1/responses`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, override
from uuid import UUID

import msgspec

from inference.engines import Engine
from inference.gateway.bodies import ChatBody, Message
from inference.gateway.chat import answer_read
from inference.gateway.endpoint import Answer, Asked, Question, Stream
from inference.gateway.errors import GatewayError
from inference.gateway.generations import SYSTEM, Conversations, generation
from inference.gateway.responses.answers import response_whole
from inference.gateway.responses.asking import chat_of, messages_of, opening_texts
from inference.gateway.responses.bodies import ResponsesBody
from inference.gateway.responses.document import Response
from inference.gateway.responses.events import ResponseStream


class Responses(Conversations[ResponsesBody]):
    shape = Response
    example: ClassVar = {"input": "What is a sluice?"}
    renamed: ClassVar = {
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "response_format": "text.format",
    }

    @override
    def messages(self, body: ResponsesBody) -> Iterable[Message]:
        return messages_of(body)

    @override
    def opening(self, body: ResponsesBody) -> Iterable[str]:
        """As of a chat, without making all of it one."""
        yield body.instructions or ""
        if isinstance(body.input, str):
            yield body.input
            return
        for item in body.input or ():
            yield from opening_texts(item)
            if item.role not in SYSTEM:
                return

    @override
    def question(self, body: ResponsesBody, asked: Asked) -> Question:
        return generation("chat/completions", self.chat(body), asked)

    @override
    def chat(self, body: ResponsesBody) -> ChatBody:
        return chat_of(body)

    @override
    def answer(self, data: bytes, body: ResponsesBody, engine: Engine, model: str) -> Answer | None:
        usage, answer = engine.usage_read(data), answer_read(data)
        if usage is None or answer is None:
            return None
        response = response_whole(answer, usage, body, model)
        return Answer(msgspec.json.encode(response), usage)

    @override
    def stream(self, body: ResponsesBody, engine: Engine, model: str) -> ResponseStream:
        return ResponseStream(body, engine, model)

    @override
    def last_words(self, stream: Stream | None, error: GatewayError, request_id: UUID) -> bytes:
        if isinstance(stream, ResponseStream):
            return stream.failed(error)
        return super().last_words(stream, error, request_id)
