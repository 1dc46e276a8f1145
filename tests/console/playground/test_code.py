"""A question as code is the same question."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

import pytest

from console.playground.calls import Question, Upload
from console.playground.code import literal, snippet_of

BODY: dict[str, Any] = {
    "model": "acme/tiny",
    "messages": [{"role": "user", "content": 'It\'s "me",\nBjörn \\ $HOME'}],
    "temperature": 0.2,
    "stop": ["\n"],
    "response_format": {"type": "json_object"},
    "stream": True,
}


@pytest.mark.parametrize(
    "value", [BODY, [], {}, "a'b\"c", [True, None, 1.5], [["long " * 20, {"deep": ["é" * 80]}]]]
)
def test_a_literal_is_python_for_the_same_value(value: Any) -> None:
    assert ast.literal_eval(literal(value, 0)) == value


def test_curl_sends_the_same_body() -> None:
    words = shlex.split(snippet_of(Question("chat/completions", BODY)).curl)
    assert json.loads(words[words.index("-d") + 1]) == BODY
    assert "Authorization: Bearer $SLUICE_API_KEY" in words


@pytest.mark.parametrize("path", ["chat/completions", "embeddings", "rerank"])
def test_python_asks_the_same(path: str) -> None:
    code = snippet_of(Question(path, BODY)).python
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    told = [{word.arg: word.value for word in call.keywords} for call in calls]
    if path == "rerank":
        bodies = [ast.literal_eval(words["body"]) for words in told if "body" in words]
    else:
        bodies = [
            {name: ast.literal_eval(value) for name, value in words.items() if name}
            for words in told
            if "model" in words
        ]
    assert bodies == [BODY]


def test_a_file_goes_as_a_field_of_a_form() -> None:
    upload = Upload("my speech.wav", b"RIFF", "audio/wav")
    question = Question("audio/transcriptions", {"model": "ears", "language": "sv"}, upload)
    snippet = snippet_of(question)
    assert "file=@my speech.wav" in shlex.split(snippet.curl)
    assert "language=sv" in shlex.split(snippet.curl)
    ast.parse(snippet.python)
    assert 'fs.createReadStream("my speech.wav")' in snippet.js


def test_a_picture_is_left_out_of_the_code() -> None:
    url = "data:image/png;base64," + "QUJD" * 40
    body = {"model": "eyes", "messages": [{"role": "user", "content": [{"image_url": url}]}]}
    snippet = snippet_of(Question("chat/completions", body))
    for text in (snippet.curl, snippet.python, snippet.js):
        assert re.search(r"data:image/png;base64,YOUR_IMAGE", text)
        assert "QUJDQUJD" not in text
