"""What a request may say: the fields that pass to an engine, strictly typed.

A body is parsed once and re-encoded from what was parsed, so that gateway and engine never read
different values from duplicate keys. Fields that are not here are dropped; engine internals are
refused by name (`REFUSED`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from inference.gateway.errors import InvalidRequest

MAX_DEPTH: Final = 64
MAX_SCHEMA_DEPTH: Final = 32
MAX_SCHEMA_BYTES: Final = 64 * 1024
USUAL_COMPLETION_TOKENS: Final = 16

REFUSED: Final = re.compile(
    r"""
    add_special_tokens | allowed_token_ids | bad_words | cache_prompt | cache_salt
    | chat_template | continuous_usage_stats | ec_transfer_params | grammar | guided_.* | id_slot
    | ignore_eos | json_schema | kv_transfer_params | logits_processors | lora.*
    | mm_processor_kwargs | n_predict | n_probs | priority | prompt_embeds | prompt_logprobs
    | request_id | return_token_ids | return_tokens_as_token_ids | samplers | slot_id
    | stop_token_ids | structured_outputs | timings_per_token | truncate_prompt_tokens
    | use_beam_search | vllm_xargs
    """,
    re.VERBOSE,
)

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
LogitBias = dict[
    Annotated[str, Meta(pattern=r"^[0-9]{1,10}$(?!\n)")], Annotated[float, Meta(ge=-100, le=100)]
]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class StreamOptions(Struct):
    include_usage: bool = False


class TemplateOptions(Struct, omit_defaults=True):
    """Of `chat_template_kwargs` what switches thinking; a template is code and never passes."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class Body(Struct, omit_defaults=True, kw_only=True):
    """What all requests share."""

    model: Name
    stream: bool | None = None

    @property
    def most_output(self) -> int | None:
        """The most tokens that it asks for."""
        return None

    @property
    def choices(self) -> int:
        """How many answers an engine gives in all."""
        return 1

    @property
    def session(self) -> str:
        """What the client says that the request belongs to; empty when it does not."""
        return ""


class Generation(Body, kw_only=True):
    """What all generations share."""

    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=8)] | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    seed: Int64 | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    user: str | None = None
    prompt_cache_key: str | None = None

    @property
    def most_output(self) -> int | None:  # type: ignore[explicit-override]  # see `choices`
        return self.max_tokens

    @property
    def session(self) -> str:  # type: ignore[explicit-override]  # see `choices`
        return self.prompt_cache_key or self.user or ""

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def choices(self) -> int:  # type: ignore[explicit-override]  # @override breaks msgspec's Struct
        return self.n or 1


class TextPart(Struct, tag_field="type", tag="text"):
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(Struct, omit_defaults=True):
    url: str
    detail: Literal["auto", "low", "high"] | None = None

    def __post_init__(self) -> None:
        """An engine that fetches a URL for a tenant would reach into the operator's network."""
        if not self.url.startswith("data:"):
            raise ValueError("Send the image itself, as a `data:` URL")


class ImagePart(Struct, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class Audio(Struct):
    data: str
    format: str


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    input_audio: Audio


class FunctionCall(Struct):
    name: str
    arguments: str


class ToolCall(Struct, tag_field="type", tag="function"):
    id: str
    function: FunctionCall


class Message(Struct, omit_defaults=True):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart | RefusalPart | ImagePart | AudioPart] | UnsetType | None = UNSET
    name: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    def __post_init__(self) -> None:
        if self.role != "assistant" and not isinstance(self.content, str | list):
            raise ValueError(f"A message of the role `{self.role}` needs `content`")


class Function(Struct, omit_defaults=True):
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        check_schema(self.parameters)


class Tool(Struct, tag_field="type", tag="function"):
    function: Function


class FunctionName(Struct):
    name: str


class ToolChoice(Struct, tag_field="type", tag="function"):
    function: FunctionName


class JsonSchema(Struct, omit_defaults=True, rename={"schema_": "schema"}):
    name: str
    schema_: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        check_schema(self.schema_)


class TextFormat(Struct, tag_field="type", tag="text"):
    pass


class JsonObjectFormat(Struct, tag_field="type", tag="json_object"):
    pass


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    json_schema: JsonSchema


class ChatBody(Generation, kw_only=True):
    """POST /v1/chat/completions"""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateOptions | None = None

    @property
    def most_output(self) -> int | None:  # type: ignore[explicit-override]  # see `choices`
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Generation, kw_only=True):
    """POST /v1/completions"""

    prompt: str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1)]
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None

    def __post_init__(self) -> None:
        """Of what this API has been from the start; an engine without it would not stop."""
        self.max_tokens = self.max_tokens or USUAL_COMPLETION_TOKENS

    @property
    def choices(self) -> int:  # type: ignore[explicit-override]  # @override breaks msgspec's Struct
        return (self.n or 1) * self.prompts

    @property
    def prompts(self) -> int:
        """How many texts it has; each is continued by itself."""
        is_batch = isinstance(self.prompt, list) and not isinstance(self.prompt[0], int)
        return len(self.prompt) if is_batch else 1


_names: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def body_decoder[B: Body](body_class: type[B]) -> Callable[[bytes], B]:
    """A function from the bytes of a body to its struct; it raises InvalidRequest."""
    decode = msgspec.json.Decoder(body_class).decode

    def read(data: bytes) -> B:
        try:
            check_depth(data)
            check_names(_names(data))
            return decode(data)
        except msgspec.ValidationError as error:
            raise explain(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = f"The body is not valid JSON ({error}). Send one JSON object."
            raise InvalidRequest(text, code="invalid_json") from None

    return read


def check_names(names: dict[str, msgspec.Raw]) -> None:
    for name in names:
        if REFUSED.fullmatch(name):
            text = f"`{name}` cannot be set through this API. Remove it from the request."
            raise InvalidRequest(text, param=name, code="unsupported_parameter")


_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?$)', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")


def check_depth(data: bytes) -> None:
    """Refuse JSON nested deeper than MAX_DEPTH; in time linear in `data`, whatever it holds."""
    if not _is_flatter_than(MAX_DEPTH, data):
        text = f"The body is nested deeper than {MAX_DEPTH} levels, or its brackets do not match."
        raise InvalidRequest(text, code="invalid_json")


def check_schema(schema: dict[str, Any] | None) -> None:
    """Raise ValueError for a JSON schema that an engine would take too long to compile."""
    data = msgspec.json.encode(schema)
    if len(data) > MAX_SCHEMA_BYTES:
        raise ValueError(f"A JSON schema is larger than {MAX_SCHEMA_BYTES:,} bytes. Shorten it")
    if not _is_flatter_than(MAX_SCHEMA_DEPTH, data):
        text = f"A JSON schema is nested deeper than {MAX_SCHEMA_DEPTH} levels. Flatten it"
        raise ValueError(text)


def _is_flatter_than(depth: int, data: bytes) -> bool:
    """Whether no bracket of the JSON in `data` lies within `depth` others, and all match."""
    if data.count(b"[") + data.count(b"{") <= depth:
        return True
    brackets = _STRINGS.sub(b"", data).translate(_SQUARE, _NOT_BRACKETS)
    return _unfolds(depth, brackets)


def _unfolds(depth: int, brackets: bytes) -> bool:
    """Take the innermost pairs away, level by level."""
    if b"[" * (depth + 1) in brackets:
        return False
    for _ in range(depth):
        before, brackets = len(brackets), brackets.replace(b"[]", b"")
        if len(brackets) == before:
            break
    return not brackets


_TYPES: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
_PATH: Final = re.compile(r"^(?P<text>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_EXPECTED: Final = re.compile(r"Expected `(?P<wanted>[^`]+)`(?:, got `(?P<got>\w+)`|(?P<bound>.+))")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`")
_NO_LINE_END: Final = r"(?!\\n)"
"""Stands in patterns, as `$` alone would let a line end pass; people need not see it."""
_UNKNOWN: Final = re.compile(r"Invalid (?:enum )?value (?P<value>.*)", re.DOTALL)


def explain(error: str) -> InvalidRequest:
    """msgspec's message in the words of the API: which field, and what to send instead."""
    found = _PATH.match(error)
    text, path = (found["text"], found["path"] or "") if found else (error, "")
    if missing := _MISSING.match(text):
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequest(
            f"`{path}` is missing. Send it.", param=path, code="missing_required_parameter"
        )
    return InvalidRequest(_words(text, path), param=path or None, code="invalid_value")


def _kinds(wanted: str) -> list[str]:
    """`int | null` is an integer to people: they leave the field out instead of sending null."""
    return [kind for kind in wanted.split(" | ") if kind != "null"]


def _words(text: str, path: str) -> str:
    name = f"`{path}`" if path else "The body"
    if expected := _EXPECTED.match(text):
        wanted = " or ".join(_TYPES.get(kind, kind) for kind in _kinds(expected["wanted"]))
        if expected["got"]:
            return f"{name} must be {wanted}, not {_TYPES.get(expected['got'], expected['got'])}."
        return f"{name} must be {wanted}{expected['bound'].replace(_NO_LINE_END, '')}."
    if unknown := _UNKNOWN.match(text):
        return f"{name} has the unknown value {unknown['value'][:100]}."
    return f"{text}: {name}."
