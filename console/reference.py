"""The pages about every path of the API and what it is made of, from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from inference.gateway.endpoint import JSON, Endpoint
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.openapi import openapi_document, streams, units

type Json = dict[str, Any]

UNITS: Final = {
    "input": "input tokens",
    "cached_input": "cached input tokens",
    "output": "output tokens",
    "audio_second": "seconds of audio",
}
_LIMITS: Final = {
    "GATEWAY_MAX_BODY_BYTES": "{{ max_body }}",
    "GATEWAY_MAX_IMAGES_BODY_BYTES": "{{ max_body }}, with images {{ max_images_body }}",
    "GATEWAY_MAX_AUDIO_BODY_BYTES": "{{ max_audio_body }}",
}
_HUGE: Final = 2**31 - 1
_INTRO: Final = """\
# Endpoints

Every path of the API under `{{ base_url }}`, from the same table that the gateway serves. Machines
read it as [OpenAPI]({{ host_url }}/openapi.json).

Send your key as `Authorization: Bearer …`; `x-api-key` and `api-key` work too. Fields of
OpenAI's or Anthropic's that are not named here are taken without effect.
"""


_OBJECTS_INTRO: Final = """\
# Objects

What the fields and the answers of the [endpoints](endpoints.md) are made of, by name.
"""


def endpoints_markdown() -> str:
    """The page, with gaps for what this installation fills in."""
    sections = (_section(row) for row in ENDPOINTS.values())
    return "\n".join([_INTRO, _overview(), *sections, _models()])


def objects_markdown() -> str:
    """What fields and answers are made of: each struct that is not a whole body."""
    bodies = {row.body.__name__ for row in ENDPOINTS.values()}
    schemas = openapi_document()["components"]["schemas"]
    shown = sorted(name for name in schemas if name not in bodies)
    return "\n".join([_OBJECTS_INTRO, *map(_object, shown)])


def _overview() -> str:
    rows = (
        (f"[`/v1/{row.path}`](#{_anchor(row)})", row.summary, _billed(row))
        for row in ENDPOINTS.values()
    )
    free = (("[`/v1/models`](#models)", "What your key can call.", "free"),)
    return table(("Path", "Does", "Billed"), (*rows, *free))


def _anchor(row: Endpoint[Any]) -> str:
    return f"v1-{row.path}".replace("/", "-").replace("_", "-")


def _billed(row: Endpoint[Any]) -> str:
    return ", ".join(UNITS[unit] for unit in UNITS if unit in units(row)) or "free"


def _section(row: Endpoint[Any]) -> str:
    schema = _component(row.body.__name__)
    facts = [
        f"For models with the task `{row.task.value}`. Billed: {_billed(row)}. Body: {row.takes},",
        f"at most {_LIMITS[row.limit]}.",
        "Streams with `stream`." if streams(row) else "Does not stream.",
    ]
    return "\n".join([
        f"## /v1/{row.path}\n",
        f"{row.summary} {' '.join(facts)}\n",
        _example(row),
        _fields(schema),
        _answer(row),
    ])  # fmt: skip


def _example(row: Endpoint[Any]) -> str:
    model = f"{{{{ {row.task.value}_model }}}}"
    lines = [
        f"curl {{{{ base_url }}}}/{row.path}",
        '-H "Authorization: Bearer $SLUICE_API_KEY"',
        *_sent(row, {"model": model, **row.example}),
    ]
    return "```bash\n" + " \\\n  ".join(lines) + "\n```\n"


def _sent(row: Endpoint[Any], body: Mapping[str, Any]) -> list[str]:
    """`body` as curl sends it: JSON, or a form with a file."""
    if row.takes == JSON:
        text = json.dumps(body, ensure_ascii=False)
        return ['-H "Content-Type: application/json"', f"-d '{text}'"]
    return [f"-F {name}={'@' if name == 'file' else ''}{value}" for name, value in body.items()]


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = (
        (f"`{name}`" + (" **required**" if name in required else ""), _field(field))
        for name, field in sorted(
            schema["properties"].items(), key=lambda item: item[0] not in required
        )
    )
    return table(("Field", "Is"), rows)


def _field(field: Json) -> str:
    kind = type_words(field)
    return f"{kind[:1].upper()}{kind[1:]}. {field.get('description', '')}".strip()


def _answer(row: Endpoint[Any]) -> str:
    document = openapi_document()["paths"][f"/v1/{row.path}"]["post"]["responses"]["200"]
    return f"\nAnswers with {type_words(document['content'][JSON]['schema'])}.\n"


def _models() -> str:
    kinds = [type_words({"$ref": f"/{name}"}) for name in ("ModelList", "ModelDocument")]
    listed = f"`GET /v1/models` lists what your key can call: {kinds[0]}."
    one = f"`GET /v1/models/{{id}}` is one of them, by its id or an alias: {kinds[1]}."
    example = 'curl {{ base_url }}/models \\\n  -H "Authorization: Bearer $SLUICE_API_KEY"'
    return f"## Models\n\n{listed} {one} Both are free.\n\n```bash\n{example}\n```\n"


def _object(name: str) -> str:
    schema = _component(name)
    text = schema.get("description", "")
    table = _fields(schema) if schema.get("properties") else "It has no fields.\n"
    return f"## {name}\n\n{text}\n\n{table}"


def _component(name: str) -> Json:
    found: Json = openapi_document()["components"]["schemas"][name]
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
        )
        + "\n"
    )


def type_words(schema: Json) -> str:
    """A type in words: `integer from 1 to 8`, `list of Message`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](objects.md#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_alternatives(schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    return _plain(schema)


def _alternatives(schemas: Iterable[Json]) -> Iterator[str]:
    """Null is left out: people leave the field out instead."""
    return (type_words(schema) for schema in schemas if schema.get("type") != "null")


def _plain(schema: Json) -> str:
    match schema.get("type"):
        case "array":
            items = schema.get("items")
            count = _bounds(schema, "minItems", "maxItems").removeprefix(" of ")
            kind = _plural(type_words(items)) if items else "anything"
            return f"list of {count} {kind}" if count else f"list of {kind}"
        case "object":
            values = schema.get("additionalProperties")
            if isinstance(values, dict) and values:
                return f"object of {_plural(type_words(values))}"
            return "object"
        case "string":
            pattern = f" matching `{schema['pattern']}`" if "pattern" in schema else ""
            size = _bounds(schema, "minLength", "maxLength")
            return f"string{size}{' characters' if size else ''}{pattern}"
        case "integer" | "number" as kind:
            return f"{kind}{_range(schema)}"
        case str(kind):
            return kind
    return "anything"


def _plural(words: str) -> str:
    return re.sub(r"(^| or )(string|integer|number|boolean|object|list)\b", r"\1\2s", words)


def _bounds(schema: Json, low: str, high: str) -> str:
    least, most = schema.get(low), schema.get(high)
    if most is not None:
        return f" of {least} to {most}" if least else f" of at most {most}"
    return f" of at least {least}" if least and least > 1 else ""


def _range(schema: Json) -> str:
    """` from 0 to 2`; bounds of the machine say nothing to people."""
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most = schema.get("maximum")
    most = None if most is not None and most >= _HUGE else most
    least = None if least is not None and least < -_HUGE else least
    low = f" above {above}" if above is not None else f" from {least}" if least is not None else ""
    if most is None:
        return low + (" up" if low and above is None else "")
    return f"{low} to {most}" if low else f" to {most}"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "endpoints": endpoints_markdown,
    "objects": objects_markdown,
}
"""The pages that are written here, by slug."""
