"""The blocks that a message is made of, as they come and as an engine can be told of them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

IMAGE_KINDS = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]


class Text(Struct, tag_field="type", tag="text"):
    text: str


class Base64Image(Struct, tag_field="type", tag="base64"):
    media_type: IMAGE_KINDS
    data: str


class RemoteImage(Struct, tag_field="type", tag="url"):
    def __post_init__(self) -> None:
        raise ValueError("Send the image itself, as a source of the type `base64`")


class StoredImage(Struct, tag_field="type", tag="file"):
    def __post_init__(self) -> None:
        raise ValueError("Files are not kept. Send the image as a source of the type `base64`")


class Image(Struct, tag_field="type", tag="image"):
    source: Base64Image | RemoteImage | StoredImage

    @property
    def url(self) -> str:
        """The image as a `data:` URL."""
        assert isinstance(self.source, Base64Image)  # noqa: S101 - the others are never made
        return f"data:{self.source.media_type};base64,{self.source.data}"


class PlainText(Struct, tag_field="type", tag="text"):
    data: str
    media_type: Literal["text/plain"] = "text/plain"

    @property
    def blocks(self) -> list[Text | Image]:
        return [Text(self.data)]


class Parts(Struct, tag_field="type", tag="content"):
    content: str | list[Text | Image]

    @property
    def blocks(self) -> list[Text | Image]:
        return [Text(self.content)] if isinstance(self.content, str) else self.content


class _Unread(Struct):
    def __post_init__(self) -> None:
        raise ValueError("Files are not read. Send their text as `text`, pages as images")


class Base64File(_Unread, tag_field="type", tag="base64"):
    pass


class RemoteFile(_Unread, tag_field="type", tag="url"):
    pass


class StoredFile(_Unread, tag_field="type", tag="file"):
    pass


class Document(Struct, tag_field="type", tag="document"):
    source: PlainText | Parts | Base64File | RemoteFile | StoredFile
    title: str | None = None
    context: str | None = None

    @property
    def blocks(self) -> list[Text | Image]:
        """Its title and context, and what it holds."""
        assert isinstance(self.source, PlainText | Parts)  # noqa: S101 - as of images
        head = [Text(text) for text in (self.title, self.context) if text]
        return [*head, *self.source.blocks]


class SearchResult(Struct, tag_field="type", tag="search_result"):
    source: str
    title: str
    content: list[Text]

    @property
    def blocks(self) -> list[Text]:
        return [Text(self.title), Text(self.source), *self.content]


class Thinking(Struct, tag_field="type", tag="thinking"):
    """`signature` means nothing here; clients give it back as they got it."""

    thinking: str
    signature: str = ""


class RedactedThinking(Struct, tag_field="type", tag="redacted_thinking"):
    data: str


class ToolUse(Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class ToolResult(Struct, tag_field="type", tag="tool_result", omit_defaults=True):
    tool_use_id: str
    content: str | list[Text | Image | Document | SearchResult] | None = None
    is_error: bool | None = None


type Block = (
    Text | Image | Document | SearchResult | Thinking | RedactedThinking | ToolUse | ToolResult
)
