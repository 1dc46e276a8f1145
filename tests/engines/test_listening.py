"""Transcriptions and translations of a real vLLM through the gateway.

The Whisper of the tests hears the same two sentences in every sound, of one second each.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from billing.models import Outcome
from tests.engines.behaviours import tone
from tests.engines.conftest import LISTENER
from tests.engines.counting import recorded
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import record_of, wait_until

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("whisper"),
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),  # the SDK says so
]

HEARD = ["Noise and noise.", "More of it."]
TONE = tone(2)
FORMATS = ["json", "text", "srt", "vtt", "verbose_json"]


def listen(client: OpenAI, task: str, **fields: Any) -> Any:
    body = {"model": LISTENER, "file": TONE, **fields}
    return getattr(client.audio, task).with_raw_response.create(**body)


@pytest.mark.parametrize("task", ["transcriptions", "translations"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_said_comes_in_each_format_and_is_billed_by_the_second(
    acme: OpenAI, task: str, form: str
) -> None:
    raw = listen(acme, task, response_format=form)
    text = raw.text if form != "verbose_json" else raw.http_response.json()["text"]
    assert all(sentence in text for sentence in HEARD)
    record = record_of(raw.http_response)
    assert (record.endpoint, record.outcome) == (f"audio/{task}", Outcome.COMPLETED)
    assert (record.audio_seconds, record.input_tokens, record.output_tokens) == (2, 0, 0)


def test_subtitles_have_their_times(acme: OpenAI) -> None:
    srt = listen(acme, "transcriptions", response_format="srt").text
    assert "1\n00:00:00,000 --> 00:00:01,000\n" in srt
    assert "2\n00:00:01,200 --> 00:00:02,000\n" in srt
    vtt = listen(acme, "transcriptions", response_format="vtt").text
    assert vtt.startswith("WEBVTT\n\n")
    assert "00:00:01.200 --> 00:00:02.000\n" in vtt


@pytest.mark.parametrize("seconds", [0.5, 1.9, 40])
def test_seconds_are_those_that_the_engine_says(
    acme: OpenAI, whisper: Vllm, seconds: float
) -> None:
    file = tone(seconds)
    raw = listen(acme, "transcriptions", file=file)
    told = raw.http_response.json()["usage"]
    assert told == {"type": "duration", "seconds": ceil(seconds)}
    assert record_of(raw.http_response).audio_seconds == told["seconds"]


def test_a_stream_comes_in_the_events_of_the_sdk(acme: OpenAI) -> None:
    stream: Any = acme.audio.transcriptions.create(
        model=LISTENER, file=TONE, language="en", stream=True
    )
    events = list(stream)
    deltas, done = events[:-1], events[-1]
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text
    assert all(sentence in done.text for sentence in HEARD)
    record = record_of(stream.response)
    assert (record.outcome, record.streamed, record.audio_seconds) == (Outcome.COMPLETED, True, 2)


def test_a_language_is_found_or_given(acme: OpenAI) -> None:
    found = acme.audio.transcriptions.create(
        model=LISTENER, file=TONE, response_format="verbose_json"
    )
    given = acme.audio.transcriptions.create(
        model=LISTENER, file=TONE, response_format="verbose_json", language="sv"
    )
    assert found.language
    assert given.language in {"sv", "swedish"}
    assert [part.end for part in given.segments or []] == [1, 2]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"file": ("a.wav", b"not a sound", "audio/wav")}, "file"),
        ({"file": ("a.wav", b"", "audio/wav")}, "file"),
        ({"language": "xx"}, "language"),
        ({"response_format": "opera"}, "response_format"),
        ({"temperature": 7}, "temperature"),
    ],
)
def test_a_fault_of_the_customer_is_his_to_read(
    acme: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        listen(acme, "transcriptions", **fields)
    assert caught.value.param == param
    assert "whisper" not in str(caught.value).replace(LISTENER, "")


def test_each_request_is_one_request_of_the_engine(acme: OpenAI, whisper: Vllm) -> None:
    def finished() -> int:
        return whisper.metric("request_success_total", "stop")

    before = finished()
    answer: Any = acme.audio.transcriptions.create(model=LISTENER, file=TONE, language="sv")
    assert recorded(answer._request_id).audio_seconds == 2
    wait_until(lambda: finished() == before + 1)
