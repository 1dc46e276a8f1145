"""What the fake engine refuses, in vLLM's words and order."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final

from tests.fake_vllm.ask import MODEL, Ask, Json

MAX_MODEL_LEN: Final = int(os.environ.get("FAKE_VLLM_MAX_MODEL_LEN", "2048"))


class Refused(Exception):  # noqa: N818 - not a fault of the program
    """An answer other than 200, with the body vLLM gives."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status, self.body = status, body


KINDS: Final = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}
ENGINE_DEAD: Final = (
    "EngineCore encountered an issue. See stack trace (above) for the root cause of the issue."
)

LATE_FAULT: Final = 'Failed to transform json schema into a grammar: Unsupported type "nope"'


def refused(status: int, message: str, param: str | None = None, kind: str = "") -> Refused:
    kind = kind or KINDS.get(status, "InternalServerError")
    error = {"message": message, "type": kind, "param": param, "code": status}
    return Refused(status, {"error": error})


def _invalid(*faults: Json) -> Refused:
    lines = "".join(f"\n  {fault}" for fault in faults)
    many = "errors" if len(faults) > 1 else "error"
    message = f"{len(faults)} validation {many}:{lines}"
    return refused(400, message, str(faults[0]["loc"]), "Bad Request")


def parse(headers: Mapping[str, str], raw: bytes) -> Json:
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        text = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
        raise refused(400, text, None, "Bad Request")
    try:
        body = json.loads(raw)
    except ValueError as error:
        position = getattr(error, "pos", 0)
        fault = {"type": "json_invalid", "loc": f"body.{position}", "msg": "JSON decode error"}
        ctx = {"error": getattr(error, "msg", "Expecting value")}
        raise _invalid({**fault, "input": "<dict of 0 items>", "ctx": ctx}) from error
    if not isinstance(body, dict):
        text = "Input should be a valid dictionary"
        raise _invalid({"type": "dict_type", "loc": "body", "msg": text, "input": body})
    return body


def validate(body: Json, needed: str) -> None:
    faults: list[Json] = []
    if needed not in body:
        size = f"<dict of {len(body)} items>"
        missing = {"type": "missing", "loc": f"body.{needed}", "msg": "Field required"}
        faults.append({**missing, "input": size})
    elif needed == "messages" and not isinstance(body[needed], list):
        text = "Input should be a valid list"
        faults.append(
            {"type": "list_type", "loc": "body.messages", "msg": text, "input": body[needed]}
        )
    temperature = body.get("temperature")
    if isinstance(temperature, str):
        text = "Input should be a valid number, unable to parse string as a number"
        where = {"type": "float_parsing", "loc": "body.temperature"}
        faults.append({**where, "msg": text, "input": temperature})
    if faults:
        raise _invalid(*faults)


def check_model(body: Json) -> None:
    name = body.get("model")
    if name is not None and name != MODEL:
        text = f"The model `{name}` does not exist. Valid aliases: {MODEL}."
        raise refused(404, text, "model")
    temperature = body.get("temperature") or 0.0
    if temperature < 0:
        text = f"temperature must be non-negative, got {float(temperature)}."
        text += f" (parameter=temperature, value={float(temperature)})"
        raise refused(400, text, "temperature")


def check_length(ask: Ask) -> None:
    if ask.asked_tokens > MAX_MODEL_LEN:
        text = f"max_tokens={ask.asked_tokens} cannot be greater than max_model_len={MAX_MODEL_LEN}"
        text += ". Please request fewer output tokens."
        text += f" (parameter=max_tokens, value={ask.asked_tokens})"
        raise refused(400, text, "max_tokens")
    if ask.prompt_tokens > MAX_MODEL_LEN:
        count = MAX_MODEL_LEN + 1  # vLLM stops counting there
        text = f"This model's maximum context length is {MAX_MODEL_LEN} tokens. However, your"
        text += f" prompt contains at least {count} input tokens, which exceeds this limit even"
        text += " without any output tokens. Please reduce the length of the input prompt."
        text += f" (parameter=input_tokens, value={count})"
        raise refused(400, text, "input_tokens")
