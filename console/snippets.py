"""How each path of the API is called, in three languages. The key comes from the environment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from inference.models import Model, Task
from tenants.models import Organization

LANGUAGES: Final = (("curl", "curl"), ("python", "Python"), ("js", "JavaScript"))


@dataclass(frozen=True, slots=True)
class Snippet:
    """A call of `path` (under /v1). `BASE`, `HOST` and `MODEL` in its texts stand for what they
    name; HOST is BASE without its /v1.
    """

    task: Task
    path: str
    curl: str
    python: str
    js: str

    @property
    def slug(self) -> str:
        return self.path.replace("/", "-")

    @property
    def texts(self) -> list[tuple[str, str, str]]:
        """The key and the name of each language, and the text in it."""
        return [(key, name, getattr(self, key)) for key, name in LANGUAGES]

    def filled(self, model: str) -> Snippet:
        """With this installation's addresses and `model`."""
        texts = (_filled(text, model) for text in (self.curl, self.python, self.js))
        return Snippet(self.task, self.path, *texts)


def snippets_of(model: str, tasks: Collection[str]) -> list[Snippet]:
    """The calls that a model with `tasks` answers."""
    return [snippet.filled(model) for snippet in SNIPPETS if snippet.task in tasks]


def first_snippet(organization: Organization) -> Snippet:
    """A call for those who begin: a chat with the first model that `organization` can chat with."""
    chats = Model.objects.enabled().for_organization(organization)
    found = chats.filter(tasks__contains=[Task.CHAT]).values_list("public_id", flat=True).first()
    return SNIPPETS[0].filled(found or "model")


def _filled(text: str, model: str) -> str:
    base = settings.GATEWAY_URL
    text = text.replace("HOST", base.removesuffix("/v1")).replace("BASE", base)
    return text.replace("MODEL", model)


_OPENAI_PYTHON: Final = """\
import os
from openai import OpenAI

client = OpenAI(base_url="BASE", api_key=os.environ["SLUICE_API_KEY"])
"""
_OPENAI_JS: Final = """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE", apiKey: process.env.SLUICE_API_KEY });
"""


def _curl(path: str, body: str) -> str:
    return (
        f"curl BASE/{path} \\\n"
        '  -H "Authorization: Bearer $SLUICE_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def _speech(task: Task, path: str) -> Snippet:
    kind = path.rpartition("/")[2]
    return Snippet(
        task,
        path,
        f"curl BASE/{path} \\\n"
        '  -H "Authorization: Bearer $SLUICE_API_KEY" \\\n'
        "  -F model=MODEL \\\n"
        "  -F file=@speech.wav",
        _OPENAI_PYTHON
        + f"""\
with open("speech.wav", "rb") as file:
    answer = client.audio.{kind}.create(model="MODEL", file=file)
print(answer.text)""",
        'import fs from "node:fs";\n'
        + _OPENAI_JS
        + f"""\
const answer = await client.audio.{kind}.create({{
  model: "MODEL", file: fs.createReadStream("speech.wav"),
}});
console.log(answer.text);""",
    )


SNIPPETS: Final = (
    Snippet(
        Task.CHAT,
        "chat/completions",
        _curl(
            "chat/completions",
            """{"model": "MODEL",
       "messages": [{"role": "user", "content": "Hello"}]}""",
        ),
        _OPENAI_PYTHON
        + """\
answer = client.chat.completions.create(
    model="MODEL", messages=[{"role": "user", "content": "Hello"}]
)
print(answer.choices[0].message.content)""",
        _OPENAI_JS
        + """\
const answer = await client.chat.completions.create({
  model: "MODEL", messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);""",
    ),
    Snippet(
        Task.CHAT,
        "responses",
        _curl("responses", '{"model": "MODEL", "input": "Hello"}'),
        _OPENAI_PYTHON
        + """\
answer = client.responses.create(model="MODEL", input="Hello")
print(answer.output_text)""",
        _OPENAI_JS
        + """\
const answer = await client.responses.create({ model: "MODEL", input: "Hello" });
console.log(answer.output_text);""",
    ),
    Snippet(
        Task.CHAT,
        "messages",
        """\
curl BASE/messages \\
  -H "x-api-key: $SLUICE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "MODEL", "max_tokens": 200,
       "messages": [{"role": "user", "content": "Hello"}]}'""",
        """\
import os
from anthropic import Anthropic

client = Anthropic(base_url="HOST", api_key=os.environ["SLUICE_API_KEY"])
answer = client.messages.create(
    model="MODEL", max_tokens=200, messages=[{"role": "user", "content": "Hello"}]
)
print(answer.content[0].text)""",
        """\
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "HOST", apiKey: process.env.SLUICE_API_KEY });
const answer = await client.messages.create({
  model: "MODEL", max_tokens: 200, messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.content[0].text);""",
    ),
    Snippet(
        Task.COMPLETION,
        "completions",
        _curl("completions", '{"model": "MODEL", "prompt": "Once upon a time"}'),
        _OPENAI_PYTHON
        + """\
answer = client.completions.create(model="MODEL", prompt="Once upon a time")
print(answer.choices[0].text)""",
        _OPENAI_JS
        + """\
const answer = await client.completions.create({ model: "MODEL", prompt: "Once upon a time" });
console.log(answer.choices[0].text);""",
    ),
    Snippet(
        Task.EMBEDDING,
        "embeddings",
        _curl("embeddings", '{"model": "MODEL", "input": ["Hello", "Good day"]}'),
        _OPENAI_PYTHON
        + """\
answer = client.embeddings.create(model="MODEL", input=["Hello", "Good day"])
print([len(item.embedding) for item in answer.data])""",
        _OPENAI_JS
        + """\
const answer = await client.embeddings.create({ model: "MODEL", input: ["Hello", "Good day"] });
console.log(answer.data.map((item) => item.embedding.length));""",
    ),
    Snippet(
        Task.RERANK,
        "rerank",
        _curl(
            "rerank",
            """{"model": "MODEL", "query": "Where is Luleå?",
       "documents": ["Luleå is in Sweden.", "Bread needs yeast."]}""",
        ),
        _OPENAI_PYTHON
        + """\
answer = client.post(
    "/rerank",
    cast_to=object,
    body={
        "model": "MODEL",
        "query": "Where is Luleå?",
        "documents": ["Luleå is in Sweden.", "Bread needs yeast."],
    },
)
print(answer["results"])""",
        _OPENAI_JS
        + """\
const answer = await client.post("/rerank", {
  body: {
    model: "MODEL",
    query: "Where is Luleå?",
    documents: ["Luleå is in Sweden.", "Bread needs yeast."],
  },
});
console.log(answer.results);""",
    ),
    _speech(Task.TRANSCRIPTION, "audio/transcriptions"),
    _speech(Task.TRANSLATION, "audio/translations"),
)
