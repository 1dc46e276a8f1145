"""What a request for a message, or for its tokens to be counted, may say: strictly typed.

What the gateway cannot do, because it keeps nothing and runs no tools, is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from inference.gateway.bodies import Body, TemplateOptions, Tokens, check_schema
from inference.gateway.errors import InvalidRequest
from inference.gateway.messages.blocks import (
    Block,
    Document,
    Image,
    RedactedThinking,
    SearchResult,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)

_REFUSED: Final = (
    ("mcp_servers", "MCP servers are not called from here. Call them, and send `tools`."),
    ("thread", "Nothing is stored here. Send the earlier messages in `messages`."),
)
"""Fields that rest on what is not here, and what to do instead."""
_MAY_HOLD: Final = {
    "user": (Text, Image, Document, SearchResult, ToolResult),
    "assistant": (Text, Thinking, RedactedThinking, ToolUse),
    "system": (Text,),
}


Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    def __post_init__(self) -> None:
        for block in self.blocks:
            if not isinstance(block, _MAY_HOLD[self.role]):
                kind = block.__struct_config__.tag
                raise ValueError(f"A message of the role `{self.role}` cannot hold a `{kind}`")

    @property
    def blocks(self) -> list[Block]:
        return [Text(self.content)] if isinstance(self.content, str) else self.content


class Tool(Struct, kw_only=True, omit_defaults=True):
    """A tool that the caller runs."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,128}$(?!\n)")] = ""
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    type: str | None = None

    def __post_init__(self) -> None:
        if self.type is not None and self.type != "custom":
            text = f"Tools of the type `{self.type[:100]}` are not known here. "
            raise ValueError(text + "Describe them by an `input_schema`, and run them yourself")
        if not self.name or self.input_schema is None:
            raise ValueError("A tool needs `name` and `input_schema`")
        self.input_schema.setdefault("type", "object")
        check_schema(self.input_schema)


class ToolChoice(Struct, omit_defaults=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    def __post_init__(self) -> None:
        if self.type == "tool" and self.name is None:
            raise ValueError("A choice of the type `tool` needs `name`")


class EnabledThinking(Struct, tag_field="type", tag="enabled"):
    budget_tokens: Tokens


class AdaptiveThinking(Struct, tag_field="type", tag="adaptive"):
    pass


class ThinkingBetweenTools(Struct, tag_field="type", tag="between_tools"):
    pass


class DisabledThinking(Struct, tag_field="type", tag="disabled"):
    pass


class SchemaFormat(Struct, tag_field="type", tag="json_schema", rename={"schema_": "schema"}):
    schema_: dict[str, Any]

    def __post_init__(self) -> None:
        check_schema(self.schema_)


class OutputConfig(Struct, omit_defaults=True):
    effort: Effort | None = None
    format: SchemaFormat | None = None


class Metadata(Struct):
    user_id: str | None = None


class Conversation(Body, kw_only=True):
    """What becomes a prompt."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Text] | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: (
        EnabledThinking | AdaptiveThinking | ThinkingBetweenTools | DisabledThinking | None
    ) = None
    output_config: OutputConfig | None = None
    chat_template_kwargs: TemplateOptions | None = None
    cache_control: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None

    def __post_init__(self) -> None:
        for name, instead in _REFUSED:
            if getattr(self, name, None):
                text = f"`{name}` is not supported. {instead}"
                raise InvalidRequest(text, param=name, code="unsupported_parameter")
        if all(message.role == "system" for message in self.messages):
            text = "`messages` hold nothing but what the system says. Send a message of the user."
            raise InvalidRequest(text, param="messages", code="invalid_value")
        self._check_choice()

    def _check_choice(self) -> None:
        """What is chosen must be there to choose."""
        choice, names = self.tool_choice, [tool.name for tool in self.tools or ()]
        if choice is None or choice.type in {"auto", "none"}:
            return
        if not names or (choice.name is not None and choice.name not in names):
            wanted = f"`{choice.name[:100]}`" if choice.name is not None else "a tool"
            text = f"`tool_choice` asks for {wanted}, which `tools` does not have."
            raise InvalidRequest(text, param="tool_choice", code="invalid_value")


class CountBody(Conversation, kw_only=True):
    """POST /v1/messages/count_tokens"""


class MessagesBody(Conversation, kw_only=True):
    """POST /v1/messages"""

    max_tokens: Tokens
    stop_sequences: (
        Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=4)] | None
    ) = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    container: str | dict[str, Any] | None = None
    inference_geo: str | None = None
    diagnostics: dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    thread: dict[str, Any] | None = None

    @property
    def most_output(self) -> int | None:  # type: ignore[explicit-override]  # @override breaks Struct
        return self.max_tokens

    @property
    def session(self) -> str:  # type: ignore[explicit-override]  # as above
        return (self.metadata and self.metadata.user_id) or ""
