"""Chats and completions: an engine's own API, passed on almost as it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sized
from typing import Any, ClassVar, Final, override

import msgspec
from django.conf import settings

from inference.engines import Engine
from inference.gateway.bodies import (
    AudioPart,
    Body,
    ChatBody,
    CompletionBody,
    Generation,
    ImagePart,
    Message,
    TemplateOptions,
    TextPart,
    Tool,
)
from inference.gateway.bounds import IMAGE_TOKENS, TEMPLATE_TOKENS, TOOL_FACTOR, Bound, Sent
from inference.gateway.endpoint import Answer, Asked, Endpoint, Question, encode_with
from inference.gateway.errors import BodyTooLarge, InvalidRequest
from inference.gateway.relay import EventFilter, rename_model
from inference.gateway.shapes import ChatCompletion, Completion
from inference.models import Task

SYSTEM: Final = frozenset({"system", "developer"})


COUNTING: Final = "/tokenize"


class _Counted(msgspec.Struct, omit_defaults=True):
    """A chat whose tokens are counted."""

    model: str
    messages: list[Message]
    tools: list[Tool] | None = None
    chat_template_kwargs: TemplateOptions | None = None


class Generations[B: Generation](Endpoint[B]):
    """A path that an engine serves in the same shape."""

    @override
    def question(self, body: B, asked: Asked) -> Question:
        return generation(self.path, body, asked)

    @override
    def answer(self, data: bytes, body: B, engine: Engine, model: str) -> Answer | None:
        usage = engine.usage_read(data)
        return Answer(rename_model(data, model), usage) if usage else None

    @override
    def stream(self, body: B, engine: Engine, model: str) -> EventFilter:
        return EventFilter(
            engine, model, wants_usage=body.wants_usage, choices=body.choices, n=body.n or 1
        )


class Conversations[B: Body](Endpoint[B]):
    """A path that takes a conversation in any shape; with images or audio it may be large."""

    task = Task.CHAT
    limit = "GATEWAY_MAX_IMAGES_BODY_BYTES"

    @abstractmethod
    def messages(self, body: B) -> Iterable[Message]:
        """The conversation as a chat has it."""

    @abstractmethod
    def chat(self, body: B) -> ChatBody:
        """The chat that answers `body`."""

    @override
    def read(self, data: bytes, content_type: str) -> B:
        body, limit = super().read(data, content_type), settings.GATEWAY_MAX_BODY_BYTES
        if len(data) > limit and not any(map(_has_media, self.messages(body))):
            raise BodyTooLarge.over(limit)
        return body

    @override
    def images(self, body: B) -> Iterable[str]:
        for message in self.messages(body):
            if isinstance(message.content, list):
                yield from (p.image_url.url for p in message.content if isinstance(p, ImagePart))

    @override
    def opening(self, body: B) -> Iterable[str]:
        """What the system says, and the first message of the user."""
        for message in self.messages(body):
            yield from _texts(message)
            if message.role not in SYSTEM:
                return

    @override
    def bound(self, body: B, sent: Sent) -> Bound:
        tools: Sized = getattr(body, "tools", None) or ()
        text = sent.text_bytes + (_tool_bytes(tools) if tools else 0)
        read = TEMPLATE_TOKENS + text + sent.images * IMAGE_TOKENS
        return Bound(read, body.most_output, choices=body.choices)

    @override
    def counting(self, body: B, asked: Asked) -> Question | None:
        chat = self.chat(body)
        if chat.reasoning_effort or any(map(_has_media, chat.messages)):
            return None  # a template may make more of it than the count would say
        kept = _Counted(asked.model, chat.messages, chat.tools, chat.chat_template_kwargs)
        return Question(COUNTING, msgspec.json.encode(kept))


class Chats(Conversations[ChatBody], Generations[ChatBody]):
    shape = ChatCompletion
    example: ClassVar = {"messages": [{"role": "user", "content": "What is a sluice?"}]}

    @override
    def messages(self, body: ChatBody) -> Iterable[Message]:
        return body.messages

    @override
    def chat(self, body: ChatBody) -> ChatBody:
        return body


class Completions(Generations[CompletionBody]):
    task = Task.COMPLETION
    shape = Completion
    example: ClassVar = {"prompt": "A sluice is", "max_tokens": 32}
    renamed: ClassVar = {"messages": "prompt"}

    @override
    def opening(self, body: CompletionBody) -> Iterable[str]:
        """The first of its prompts, as a text or as token ids."""
        first = body.prompt if isinstance(body.prompt, str) else body.prompt[0]
        if isinstance(first, str):
            return (first,)
        ids = body.prompt if isinstance(first, int) else first
        return map(str, ids)

    @override
    def bound(self, body: CompletionBody, sent: Sent) -> Bound:
        read, prompts = sent.text_bytes + TEMPLATE_TOKENS, body.prompts
        return Bound(read, body.most_output, prompts=prompts, choices=body.n or 1)

    @override
    def counting(self, body: CompletionBody, asked: Asked) -> Question | None:
        if not isinstance(body.prompt, str) or body.suffix:
            return None
        data = {"model": asked.model, "prompt": body.prompt}
        return Question(COUNTING, msgspec.json.encode(data))


def _texts(message: Message) -> Iterable[str]:
    if isinstance(message.content, str):
        yield message.content
    elif isinstance(message.content, list):
        for part in message.content:
            match part:
                case TextPart(text=text):
                    yield text
                case ImagePart(image_url=image):
                    yield image.url
                case _:
                    pass


def _tool_bytes(tools: Any) -> int:
    """What a template may make of them beyond what was sent."""
    return len(msgspec.json.encode(tools)) * (TOOL_FACTOR - 1)


def _has_media(message: Message) -> bool:
    parts = message.content if isinstance(message.content, list) else ()
    return any(isinstance(part, ImagePart | AudioPart) for part in parts)


def generation(path: str, body: Generation, asked: Asked) -> Question:
    """`body` for the engine's own `path`, under its /v1."""
    if body.choices > asked.engine.max_choices:
        text = f"This model gives {asked.engine.max_choices} choices for a request at most."
        raise InvalidRequest(text, param="n", code="invalid_value")
    ours = msgspec.structs.replace(
        body, model=asked.model, stream_options=None, user=None, prompt_cache_key=None
    )
    extras = asked.engine.request_fields(asked.salt, asked.priority, bool(body.stream))
    return Question(f"/v1/{path}", encode_with(ours, extras))
