"""The rows of the table for `/v1/messages` and what is below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, override

import msgspec

from inference.engines import NO_USAGE, Engine
from inference.gateway.bodies import ChatBody, Message
from inference.gateway.bounds import Bound, Sent
from inference.gateway.chat import answer_read
from inference.gateway.endpoint import Answer, Asked, Question
from inference.gateway.errors import ANTHROPIC
from inference.gateway.generations import Conversations, generation
from inference.gateway.messages import document
from inference.gateway.messages.answers import message_whole
from inference.gateway.messages.asking import chat_of, count_of, messages_of
from inference.gateway.messages.blocks import Image, Text
from inference.gateway.messages.bodies import Conversation, CountBody, MessagesBody
from inference.gateway.messages.events import MessageStream
from inference.gateway.messages.turns import system_of


class AnthropicConversations[B: Conversation](Conversations[B]):
    surface = ANTHROPIC

    @override
    def messages(self, body: B) -> Iterable[Message]:
        return messages_of(body)

    @override
    def opening(self, body: B) -> Iterable[str]:
        """As of a chat, without making all of it one."""
        yield system_of(body)
        first = next(message for message in body.messages if message.role != "system")
        for block in first.blocks:
            match block:
                case Text(text=text):
                    yield text
                case Image(url=url):
                    yield url
                case _:
                    pass


class Messages(AnthropicConversations[MessagesBody]):
    shape = document.Message
    example: ClassVar = {
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "What is a sluice?"}],
    }
    renamed: ClassVar = {"response_format": "output_config.format", "stop": "stop_sequences"}

    @override
    def question(self, body: MessagesBody, asked: Asked) -> Question:
        return generation("chat/completions", self.chat(body), asked)

    @override
    def chat(self, body: MessagesBody) -> ChatBody:
        return chat_of(body)

    @override
    def answer(self, data: bytes, body: MessagesBody, engine: Engine, model: str) -> Answer | None:
        usage, answer = engine.usage_read(data), answer_read(data)
        if usage is None or answer is None:
            return None
        return Answer(msgspec.json.encode(message_whole(answer, usage, model)), usage)

    @override
    def stream(self, body: MessagesBody, engine: Engine, model: str) -> MessageStream:
        return MessageStream(engine, model)


_decode_count: Final = msgspec.json.Decoder(document.TokenCount).decode


class TokenCounts(AnthropicConversations[CountBody]):
    """Free: the engine counts, and generates nothing."""

    is_metered = False
    shape = document.TokenCount
    example: ClassVar = {"messages": [{"role": "user", "content": "What is a sluice?"}]}

    @override
    def bound(self, body: CountBody, sent: Sent) -> Bound:
        return Bound()

    @override
    def chat(self, body: CountBody) -> ChatBody:
        raise NotImplementedError("nothing is generated")

    @override
    def question(self, body: CountBody, asked: Asked) -> Question:
        return Question(
            "/v1/messages/count_tokens", msgspec.json.encode(count_of(body, asked.model))
        )

    @override
    def answer(self, data: bytes, body: CountBody, engine: Engine, model: str) -> Answer | None:
        try:
            count = _decode_count(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return Answer(msgspec.json.encode(count), NO_USAGE)
