"""Transcriptions and translations, with the `openai` SDK and as plain HTTP."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import openai as sdk
import pytest
from openai import OpenAI

from billing.ingest import ingest
from billing.models import Outcome, UsageEvent
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.audio import SAID, speech
from tests.inference.gateway.conftest import (
    LISTENER,
    MODEL,
    OTHER_LISTENER,
    record_of,
    records,
    wait_until,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:deprecated"),  # what the SDK says of its translations
]

TRANSCRIBE = "/v1/audio/transcriptions"
TRANSLATE = "/v1/audio/translations"
FILE = ("speech.wav", speech(), "audio/wav")
"""Of a second and a half: two seconds are billed."""


@pytest.fixture(autouse=True)
def _fresh_engine(engine: FakeVllm) -> None:
    engine.wait_for(running=0)
    engine.reset()


def ask(
    http: httpx.Client, path: str = TRANSCRIBE, file: Any = FILE, **fields: Any
) -> httpx.Response:
    return http.post(path, data={"model": LISTENER, **fields}, files={"file": file})


def error_of(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]


def test_the_sdk_gets_what_was_said_and_what_is_billed(openai: OpenAI) -> None:
    answer = openai.audio.transcriptions.create(model=LISTENER, file=FILE, language="sv")
    assert answer.text == SAID
    assert answer.usage
    assert (answer.usage.type, answer.usage.to_dict()["seconds"]) == ("duration", 2)


def test_the_sdk_gets_translations(openai: OpenAI) -> None:
    answer = openai.audio.translations.create(model=LISTENER, file=FILE, temperature=0.2)
    assert answer.text == SAID
    assert answer.to_dict()["usage"] == {"type": "duration", "seconds": 2}


def test_the_sdk_gets_the_times_of_segments(openai: OpenAI) -> None:
    written = openai.audio.transcriptions.create(
        model=LISTENER, file=FILE, response_format="verbose_json",
        timestamp_granularities=["segment"],
    )  # fmt: skip
    assert (written.text, written.duration, written.language) == (SAID, 1.5, "en")
    assert [(s.id, s.start, s.end) for s in written.segments or ()] == [
        (0, 0, 0.75),
        (1, 0.75, 1.5),
    ]
    assert written.usage
    assert written.usage.seconds == 2
    translated = openai.audio.translations.create(
        model=LISTENER, file=FILE, response_format="verbose_json"
    )
    assert (translated.text, translated.duration) == (SAID, 1.5)
    assert translated.to_dict()["task"] == "translate"


FORMATS = {
    "text": ("text/plain", f"{SAID}\n"),
    "srt": (
        "application/x-subrip",
        "1\n00:00:00,000 --> 00:00:00,750\nindex found\n\n"
        "2\n00:00:00,750 --> 00:00:01,500\nbut compile stream\n\n",
    ),
    "vtt": (
        "text/vtt",
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.750\nindex found\n\n"
        "00:00:00.750 --> 00:00:01.500\nbut compile stream\n\n",
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_and_subtitles_come_as_they_are(openai: OpenAI, kind: Any) -> None:
    content_type, text = FORMATS[kind]
    for task in (openai.audio.transcriptions, openai.audio.translations):
        answer = task.with_raw_response.create(model=LISTENER, file=FILE, response_format=kind)
        assert answer.headers["content-type"] == f"{content_type}; charset=utf-8"
        assert answer.parse() == text
        assert record_of(answer.http_response).audio_seconds == 2


def test_the_sdk_reads_a_stream(openai: OpenAI) -> None:
    stream = openai.audio.transcriptions.create(model=LISTENER, file=FILE, stream=True)
    *deltas, done = list(stream)
    assert [event.type for event in deltas] == ["transcript.text.delta"] * 5
    assert "".join(event.to_dict()["delta"] for event in deltas) == SAID  # type: ignore[misc]
    assert done.to_dict() == {
        "type": "transcript.text.done",
        "text": SAID,
        "usage": {"type": "duration", "seconds": 2},
    }


@pytest.mark.parametrize("path", [TRANSCRIBE, TRANSLATE])
@pytest.mark.parametrize("fields", [{}, {"prompt": "Names: Åsa"}, {"language": "yue"}])
@pytest.mark.parametrize("duration_s", [0, 0.01, 0.99, 1, 1.001, 29.995, 30, 61.3])
def test_a_stream_is_billed_as_the_same_file_in_a_whole_answer(
    http: httpx.Client, path: str, fields: dict[str, str], duration_s: float
) -> None:
    file = ("a.wav", speech(duration_s))
    whole = ask(http, path, file, **fields)
    streamed = ask(http, path, file, stream="true", **fields)
    seconds = record_of(whole).audio_seconds
    assert seconds == whole.json()["usage"]["seconds"] == -(-duration_s // 1)
    assert record_of(streamed).audio_seconds == seconds
    assert events_of(streamed.text)[-1]["usage"]["seconds"] == seconds
    assert events_of(streamed.text)[-1]["text"] == SAID


def test_a_model_whose_streams_do_not_tell_the_seconds_answers_at_once(
    http: httpx.Client, engine: FakeVllm
) -> None:
    response = ask(http, model=OTHER_LISTENER, stream="true")
    delta, done = events_of(response.text)
    assert (delta["delta"], done["text"]) == (SAID, SAID)
    assert record_of(response).audio_seconds == 2
    assert "stream" not in engine.state()["last_request_body"]


def test_a_request_is_recorded_by_its_seconds_and_rated_by_the_minute(http: httpx.Client) -> None:
    record = record_of(ask(http, file=("a.wav", speech(90.5))))
    assert (record.endpoint, record.model, record.outcome, record.streamed) == (
        "audio/transcriptions", LISTENER, Outcome.COMPLETED, False,
    )  # fmt: skip
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (0, 0, 0)
    assert record.audio_seconds == 91
    ingest()
    event = UsageEvent.objects.get(request_id=record.request_id)
    assert event.audio_seconds == 91
    assert event.amount == Decimal("0.379166666667")  # 91 × 0.25 EUR / 60


def test_the_engine_gets_a_form_of_our_own(http: httpx.Client, engine: FakeVllm) -> None:
    file = ("secret/../név.wav", speech(say="x"), "text/html")
    fields = {
        "language": "de", "prompt": "Grüße\r\n--x", "temperature": "0.5", "seed": "7",
        "response_format": "text", "user": "u", "chunking_strategy": "auto", "include[]": "x",
    }  # fmt: skip
    assert ask(http, file=file, **fields).status_code == 200
    state = engine.state()
    body = state["last_request_body"]
    assert body.pop("file").encode("latin-1") == speech(say="x")
    assert body.pop("prompt").encode("latin-1").decode() == "Grüße\r\n--x"
    assert body == {
        "model": "tiny-llama", "file-name": "audio.wav", "language": "de", "temperature": "0.5",
        "seed": "7", "response_format": "json",
    }  # fmt: skip
    assert "authorization" in state["last_request_headers"]


def test_no_answer_names_the_engines_own_model(http: httpx.Client) -> None:
    for fields in ({}, {"stream": "true"}, {"response_format": "verbose_json"}):
        assert "tiny-llama" not in ask(http, **fields).text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"language": "English"}, "language"),
        ({"language": "xx"}, "language"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "srt", "stream": "true"}, "response_format"),
        ({"stream": "perhaps"}, "stream"),
        ({"temperature": "1.5"}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"seed": str(2**64)}, "seed"),
        ({"seed": ["1", "2"]}, "seed"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"timestamp_granularities[]": ["segment", "word"]}, "timestamp_granularities[][1]"),
        ({"timestamp_granularities": "word"}, "timestamp_granularities[][0]"),
        ({"vllm_xargs": "{}"}, "vllm_xargs"),
        ({"use_beam_search": "true"}, "use_beam_search"),
        ({"lora_request[name]": "x"}, "lora_request"),
        ({"stream_include_usage": "true"}, "stream_include_usage"),
        ({"priority": "-1"}, "priority"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, fields: dict[str, Any], param: str) -> None:
    error = error_of(ask(http, **fields))
    assert error["param"] == param
    assert "a string" not in error["message"]


def test_the_file_must_be_there_once_and_be_a_file(http: httpx.Client) -> None:
    fields = {"model": LISTENER}
    nothing = http.post(TRANSCRIBE, data=fields, files={"other": b"x"})
    as_text = http.post(TRANSCRIBE, data={**fields, "file": "speech.wav"}, files={"x": b"x"})
    empty = ask(http, file=("a.wav", b""))
    twice = http.post(TRANSCRIBE, data=fields, files=[("file", FILE), ("file", FILE)])
    model = http.post(TRANSCRIBE, files=[("file", FILE), ("model", ("m", b"x"))])
    for response, param in (
        (nothing, "file"), (as_text, "file"), (empty, "file"), (twice, "file"), (model, "model"),
    ):  # fmt: skip
        assert error_of(response)["param"] == param
    assert "twice" in error_of(twice)["message"]


def test_json_is_not_a_form(http: httpx.Client) -> None:
    error = error_of(http.post(TRANSCRIBE, json={"model": LISTENER, "file": "x"}), 415)
    assert error["code"] == "unsupported_media_type"
    assert "multipart/form-data" in error["message"]


def test_what_cannot_be_heard_is_the_customers_fault_and_costs_nothing(openai: OpenAI) -> None:
    for streamed in (False, True):
        with pytest.raises(sdk.BadRequestError) as caught:
            openai.audio.transcriptions.create(
                model=LISTENER, file=("a.mp3", b"no audio"), stream=streamed
            )
        assert (caught.value.code, caught.value.param) == ("invalid_audio", "file")
    assert records() == []


def test_a_file_that_is_too_long_for_the_engine_is_the_customers_fault(http: httpx.Client) -> None:
    slow = bytearray(speech(100))
    slow[24:28] = (1000).to_bytes(4, "little")  # the same samples, at 1 kHz: 800 seconds
    error = error_of(ask(http, file=("a.wav", bytes(slow))))
    assert (error["code"], error["param"]) == ("audio_too_long", "file")
    assert "VLLM" not in error["message"]
    assert records() == []


def test_a_form_may_be_larger_than_a_text_and_has_its_own_limit(http: httpx.Client) -> None:
    assert ask(http, file=("a.wav", speech(100))).status_code == 200  # 800 kB
    assert error_of(ask(http, file=("a.wav", speech(126))), 413)["code"] == "request_too_large"


def test_a_model_of_another_task_is_refused(http: httpx.Client) -> None:
    assert error_of(ask(http, model=MODEL))["code"] == "model_not_supported"
    assert error_of(ask(http, TRANSLATE, model=OTHER_LISTENER))["code"] == "model_not_supported"


@pytest.mark.parametrize("command", ["!garbage", "!status 500", "!die 2", "!status 400"])
@pytest.mark.parametrize("path", [TRANSCRIBE, TRANSLATE])
def test_an_engine_that_fails_is_502_and_costs_nothing(
    http: httpx.Client, path: str, command: str
) -> None:
    assert error_of(ask(http, path, prompt=command), 502)["code"] == "upstream_error"
    assert error_of(ask(http, path, ("a.wav", speech(say=command))), 502)
    assert records() == []


@pytest.mark.parametrize("command", ["!garbage", "!status 503"])
def test_an_engine_that_fails_before_a_stream_is_an_error_of_its_own(
    http: httpx.Client, command: str
) -> None:
    for fields in ({"prompt": command}, {}):
        file = ("a.wav", speech(say=command))
        response = ask(http, file=file, stream="true", **fields)
        assert response.status_code == (503 if "503" in command else 502)
    assert records() == []


def test_an_engine_that_dies_within_a_stream_ends_it_with_an_error(openai: OpenAI) -> None:
    file = ("a.wav", speech(say="!die 2"))
    stream = openai.audio.transcriptions.create(model=LISTENER, file=file, stream=True)
    with pytest.raises(sdk.APIError, match="failed"):
        list(stream)
    assert wait_until(records)[0].outcome == Outcome.UPSTREAM_ERROR


def test_a_stream_that_is_cut_is_billed_whole(http: httpx.Client, engine: FakeVllm) -> None:
    files = {"file": ("a.wav", speech(12.3, say="!stall 2"))}
    data = {"model": LISTENER, "stream": "true"}
    with http.stream("POST", TRANSCRIBE, data=data, files=files) as answer:
        next(answer.iter_lines())
    record = record_of(answer)
    engine.wait_for(running=0, aborted=1)
    assert (record.outcome, record.audio_seconds) == (Outcome.CLIENT_DISCONNECT, 13)


def test_a_client_that_leaves_before_an_answer_is_billed_nothing(
    http: httpx.Client, engine: FakeVllm
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        http.post(
            TRANSCRIBE, data={"model": LISTENER, "prompt": "!stall 0"}, files={"file": FILE},
            timeout=0.5,
        )  # fmt: skip
    engine.wait_for(running=0, aborted=1)
    record = wait_until(records)[0]
    assert (record.outcome, record.audio_seconds) == (Outcome.CLIENT_DISCONNECT, 0)
