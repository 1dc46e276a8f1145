"""A question as code: what a person would run to ask the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from console.playground.calls import Question
from console.snippets import Snippet
from inference.models import Task

TASKS: Final = {
    "chat/completions": Task.CHAT,
    "embeddings": Task.EMBEDDING,
    "rerank": Task.RERANK,
    "audio/transcriptions": Task.TRANSCRIPTION,
}
_IMAGE: Final = re.compile(r"(data:image/[\w.+-]+;base64,)[A-Za-z0-9+/=]{64,}")
YOUR_IMAGE: Final = "YOUR_IMAGE"
_SHORT: Final = 60


def snippet_of(question: Question) -> Snippet:
    """The call in three languages. Images are cut to a word that says to put them in."""
    body, base = _cut(question.body), settings.GATEWAY_URL
    file = _JS_FILE if question.upload else ""
    return Snippet(
        TASKS[question.path],
        question.path,
        _curl(question, body),
        _PYTHON.replace("BASE", base) + _python(question, body),
        file + _JS.replace("BASE", base) + _js(question, body),
    )


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return _IMAGE.sub(rf"\1{YOUR_IMAGE}", value)
    if isinstance(value, Mapping):
        return {name: _cut(part) for name, part in value.items()}
    return [_cut(part) for part in value] if isinstance(value, list) else value


def _curl(question: Question, body: Mapping[str, Any]) -> str:
    head = (
        f"curl {settings.GATEWAY_URL}/{question.path} \\\n"
        '  -H "Authorization: Bearer $SLUICE_API_KEY" \\\n'
    )
    if question.upload:
        fields = [f"  -F {shlex.quote(f'{name}={value}')} \\\n" for name, value in body.items()]
        return head + "".join(fields) + f"  -F {shlex.quote(f'file=@{question.upload.name}')}"
    data = shlex.quote(json.dumps(body, ensure_ascii=False, indent=2))
    return head + '  -H "Content-Type: application/json" \\\n  -d ' + data


_PYTHON: Final = """\
import os
from openai import OpenAI

client = OpenAI(base_url="BASE", api_key=os.environ["SLUICE_API_KEY"])
"""


def _python(question: Question, body: Mapping[str, Any]) -> str:
    fields = "".join(f"    {name}={literal(value, 1)},\n" for name, value in body.items())
    match question.path:
        case "chat/completions":
            return (
                f"stream = client.chat.completions.create(\n{fields})\n"
                "for chunk in stream:\n"
                "    for choice in chunk.choices:\n"
                '        print(choice.delta.content or "", end="", flush=True)'
            )
        case "embeddings":
            return (
                f"answer = client.embeddings.create(\n{fields})\n"
                "print([len(item.embedding) for item in answer.data])"
            )
        case "rerank":
            return (
                f'answer = client.post("/rerank", cast_to=object, body={literal(body, 0)})\n'
                'print(answer["results"])'
            )
    name = literal(question.upload.name if question.upload else "speech.wav", 0)
    return (
        f'with open({name}, "rb") as file:\n'
        f"    answer = client.audio.transcriptions.create(\n"
        + "".join(f"        {name}={literal(value, 2)},\n" for name, value in body.items())
        + "        file=file,\n    )\nprint(answer.text)"
    )


def literal(value: Any, depth: int) -> str:
    """`value` in Python, as long lists and objects are written: one part a line."""
    flat = _flat(value)
    parts = isinstance(value, Mapping | list) and len(value)
    if not parts or len(flat) <= _SHORT:
        return flat
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, Mapping):
        lines = [f"{inner}{_flat(k)}: {literal(v, depth + 1)},\n" for k, v in value.items()]
        return "{\n" + "".join(lines) + outer + "}"
    return "[\n" + "".join(f"{inner}{literal(v, depth + 1)},\n" for v in value) + outer + "]"


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flat(k)}: {_flat(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


_JS_FILE: Final = 'import fs from "node:fs";\n'
_JS: Final = """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE", apiKey: process.env.SLUICE_API_KEY });
"""


def _js(question: Question, body: Mapping[str, Any]) -> str:
    fields = json.dumps(body, ensure_ascii=False, indent=2)
    match question.path:
        case "chat/completions":
            return (
                f"const stream = await client.chat.completions.create({fields});\n"
                "for await (const chunk of stream) {\n"
                '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n}'
            )
        case "embeddings":
            return (
                f"const answer = await client.embeddings.create({fields});\n"
                "console.log(answer.data.map((item) => item.embedding.length));"
            )
        case "rerank":
            body_text = json.dumps({"body": body}, ensure_ascii=False, indent=2)
            return (
                f'const answer = await client.post("/rerank", {body_text});\n'
                "console.log(answer.results);"
            )
    name = json.dumps(question.upload.name if question.upload else "speech.wav")
    lines = "".join(f"  {key}: {json.dumps(value)},\n" for key, value in body.items())
    return (
        f"const answer = await client.audio.transcriptions.create({{\n{lines}"
        f"  file: fs.createReadStream({name}),\n}});\nconsole.log(answer.text);"
    )
