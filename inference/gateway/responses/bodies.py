"""What a request for a response may say, strictly typed.

What the gateway cannot do, because it stores nothing and runs no tools, is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from inference.gateway.bodies import (
    Audio,
    Body,
    Effort,
    Int64,
    JsonObjectFormat,
    LogitBias,
    Penalty,
    TemplateOptions,
    TextFormat,
    Tokens,
    check_schema,
)
from inference.gateway.errors import InvalidRequest

LOGPROBS: Final = "message.output_text.logprobs"
FUNCTION: Final = "function"
_STATEFUL: Final = (
    ("previous_response_id", "Send the earlier items in `input`."),
    ("conversation", "Send the earlier items in `input`."),
    ("prompt", "Send the text of the prompt as `instructions`."),
    ("background", "Wait for the answer, or stream it."),
)
"""Fields that rest on something stored, and what to do instead."""


def check_type(type_: str) -> None:
    """Raise ValueError for a tool that the gateway would have to run."""
    if type_ != FUNCTION:
        text = f"Tools of the type `{type_[:100]}` are not run here. "
        raise ValueError(text + "Send tools of the type `function`, and run them yourself")


class InputText(Struct, tag_field="type", tag="input_text"):
    text: str


class InputImage(Struct, tag_field="type", tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None

    def __post_init__(self) -> None:
        if not (self.image_url or "").startswith("data:"):
            raise ValueError("Send the image itself, as a `data:` URL in `image_url`")


class InputAudio(Struct, tag_field="type", tag="input_audio"):
    input_audio: Audio


class InputFile(Struct, tag_field="type", tag="input_file"):
    def __post_init__(self) -> None:
        raise ValueError("Files are not read. Send their text as `input_text`, pages as images")


class OutputText(Struct, tag_field="type", tag="output_text"):
    text: str


class Refusal(Struct, tag_field="type", tag="refusal"):
    refusal: str


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    text: str


class SummaryText(Struct, tag_field="type", tag="summary_text"):
    text: str


type Part = InputText | InputImage | InputAudio | InputFile | OutputText | Refusal | ReasoningText
type Parts = list[Part]

_NEEDED: Final = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": (),
}


class Item(Struct, kw_only=True):
    """One item of `input`: a message, a call of a function, its output, or earlier reasoning."""

    type: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | Parts | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | Parts | None = None
    summary: list[SummaryText] | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.kind == "item_reference":
            raise ValueError("Nothing is stored to refer to. Send the item itself")
        if self.kind not in _NEEDED:
            raise ValueError(f"Items of the type `{self.kind[:100]}` are not taken")
        for name in _NEEDED[self.kind]:
            if getattr(self, name) is None:
                raise ValueError(f"A {self.kind} needs `{name}`")

    @property
    def kind(self) -> str:
        """The type; messages and references may leave it out."""
        is_reference = self.id is not None and self.role is None
        return self.type or ("item_reference" if is_reference else "message")


class Tool(Struct, kw_only=True):
    """A function that the caller runs."""

    type: str
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}$(?!\n)")] = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        check_type(self.type)
        if not self.name:
            raise ValueError("A function needs `name`")
        check_schema(self.parameters)


class Allowed(Struct):
    """A tool that `tool_choice` allows, by its name."""

    type: str
    name: str = ""

    def __post_init__(self) -> None:
        check_type(self.type)


class ToolChoice(Struct, kw_only=True, omit_defaults=True):
    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[Allowed] | None = None

    def __post_init__(self) -> None:
        if self.type == "allowed_tools":
            if self.mode is None or self.tools is None:
                raise ValueError("`allowed_tools` need `mode` and `tools`")
            return
        check_type(self.type)
        if self.name is None:
            raise ValueError("A choice of the type `function` needs `name`")

    @property
    def names(self) -> list[str]:
        """The functions that it names."""
        return [tool.name for tool in self.tools or ()] if self.name is None else [self.name]


class SchemaFormat(Struct, tag_field="type", tag="json_schema", rename={"schema_": "schema"}):
    name: str
    schema_: dict[str, Any]
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        check_schema(self.schema_)


class Text(Struct, omit_defaults=True):
    format: TextFormat | JsonObjectFormat | SchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Struct):
    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(Struct):
    include_obfuscation: bool | None = None


Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]


class ResponsesBody(Body, kw_only=True):
    """POST /v1/responses"""

    input: str | Annotated[list[Item], Meta(min_length=1)] | None = None
    instructions: str | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    text: Text | None = None
    reasoning: ReasoningOptions | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None

    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    logit_bias: LogitBias | None = None
    seed: Int64 | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    chat_template_kwargs: TemplateOptions | None = None

    def __post_init__(self) -> None:
        for name, instead in _STATEFUL:
            if getattr(self, name) not in (None, False):
                text = f"`{name}` is not supported: nothing is stored here. {instead}"
                raise InvalidRequest(text, param=name, code="unsupported_parameter")
        if self.input is None:
            text = "`input` is missing. Send it."
            raise InvalidRequest(text, param="input", code="missing_required_parameter")
        self._check_choice()

    def _check_choice(self) -> None:
        """What is chosen must be there to choose."""
        names, choice = {tool.name for tool in self.tools or ()}, self.tool_choice
        unknown = set(choice.names) - names if isinstance(choice, ToolChoice) else set[str]()
        if unknown or (choice == "required" and not names):
            shown = ", ".join(f"`{name[:100]}`" for name in sorted(unknown)) or "a tool"
            text = f"`tool_choice` asks for {shown}, which `tools` does not have."
            raise InvalidRequest(text, param="tool_choice", code="invalid_value")

    @property
    def most_output(self) -> int | None:  # type: ignore[explicit-override]  # @override breaks Struct
        return self.max_output_tokens

    @property
    def session(self) -> str:  # type: ignore[explicit-override]  # as above
        return self.prompt_cache_key or self.user or ""

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ())
