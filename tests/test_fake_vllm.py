"""The fake engine answers as the real one did, and does what its commands say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.fake_vllm import FakeVllm, running
from tests.fake_vllm.answers import METRICS

RECORDED = METRICS.parent
PATH = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def engine_process() -> Iterator[FakeVllm]:
    with running() as engine:
        yield engine


@pytest.fixture
def engine(engine_process: FakeVllm) -> FakeVllm:
    engine_process.reset()
    return engine_process


def ask(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "tiny-llama", "messages": [{"role": "user", "content": text}], **fields}


def streamed(text: str = "hi", **fields: Any) -> dict[str, Any]:
    options = {"include_usage": True, "continuous_usage_stats": True}
    return ask(text, stream=True, stream_options=options, **fields)


async def post(engine: FakeVllm, body: Any, path: str = PATH) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(engine.url + path, json=body, headers={"X-Request-Id": "my-req-124"}) as got,
    ):
        assert got.headers["x-request-id"] == "my-req-124"
        return got.status, await got.text()


def recorded(case: str) -> str:
    sections = re.split(r"^## ", (RECORDED / "shapes.txt").read_text(), flags=re.MULTILINE)
    body = next(text for text in sections if text.startswith(f"{case}\n"))
    return body.partition("\n")[2].rpartition("\n[HTTP")[0]


def shape(value: Any) -> Any:
    """The keys in their order at every level, and the null, bool or kind of each value."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return value if value is None or isinstance(value, bool) else type(value)


def chunks(text: str) -> list[Any]:
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data:")]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


async def test_a_stream_has_the_recorded_shape_chunk_by_chunk(engine: FakeVllm) -> None:
    _, text = await post(engine, streamed("one two three four", max_tokens=4))
    real = chunks((RECORDED / "chat_stream.txt").read_text())
    assert shape(chunks(text)) == shape(real)
    assert [c["usage"]["completion_tokens"] for c in chunks(text)] == [0, 1, 2, 3, 4, 4]
    assert text.startswith('data: {"id":"chatcmpl-my-req-124","object":"chat.completion.chunk",')
    assert text.endswith("\n\ndata: [DONE]\n\n")


async def test_a_stream_counts_nothing_when_not_asked(engine: FakeVllm) -> None:
    _, text = await post(engine, ask(stream=True, max_tokens=2))
    assert not any("usage" in chunk for chunk in chunks(text))


async def test_an_answer_has_the_recorded_shape(engine: FakeVllm) -> None:
    _, text = await post(engine, ask(max_tokens=8))
    real = (RECORDED / "chat_nonstream.txt").read_text().splitlines()
    bodies = [json.loads(line) for line in real if line.startswith("{")]
    assert bodies
    for body in bodies:
        assert shape(json.loads(text)) == shape(body)


async def test_a_completion_names_its_choice_as_recorded(engine: FakeVllm) -> None:
    body = {"model": "tiny-llama", "prompt": "a b c", "max_tokens": 3}
    _, text = await post(engine, body, "/v1/completions")
    real = recorded("completions")
    for key in json.loads(text)["choices"][0]:
        assert f'"{key}":' in real
    assert text.startswith('{"id":"cmpl-my-req-124","object":"text_completion","created":')
    assert json.loads(text)["usage"]["prompt_tokens"] == 3 + 8


@pytest.mark.parametrize(
    ("case", "body"),
    [
        ("unknown-model", ask() | {"model": "nope"}),
        ("too-long", ask("word " * 3000)),
        ("too-long-stream", ask("word " * 3000, stream=True)),
        ("max_tokens-too-large", ask(max_tokens=99999)),
        ("missing-field", {"model": "tiny-llama"}),
        ("bad-type", {"model": "tiny-llama", "messages": "hi", "temperature": "hot"}),
        ("neg-temp", ask(temperature=-1)),
    ],
)
async def test_a_refusal_is_the_recorded_one(engine: FakeVllm, case: str, body: Any) -> None:
    status, text = await post(engine, body)
    assert text == recorded(case)
    assert status == json.loads(text)["error"]["code"]


async def test_what_is_not_json_is_refused_as_recorded(engine: FakeVllm) -> None:
    async with aiohttp.ClientSession(engine.url) as session:
        kind = {"content-type": "application/json"}
        async with session.post(PATH, data=b'{"model":', headers=kind) as got:
            assert await got.text() == recorded("bad-json")
        async with session.post(PATH, data="{}", headers={"content-type": "text/plain"}) as got:
            assert await got.text() == recorded("wrong-ctype")
        async with session.get(PATH) as got:
            assert (got.status, await got.text()) == (405, recorded("405"))
        async with session.post("/v1/nothing", json={}) as got:
            assert (got.status, await got.text()) == (404, recorded("404"))


async def test_a_wrong_key_is_a_plain_string() -> None:
    with running(model="other/name", api_keys=("one", "two")) as engine:
        async with aiohttp.ClientSession(engine.url) as session:
            async with session.get("/v1/models") as got:
                assert (got.status, await got.text()) == (401, '{"error":"Unauthorized"}')
            async with session.get("/health") as got:
                assert (got.status, await got.text()) == (200, "")
            bearer = {"Authorization": "Bearer two"}
            async with session.get("/v1/models", headers=bearer) as got:
                assert (await got.json())["data"][0]["id"] == "other/name"


async def test_metrics_carry_the_counts_of_now(engine: FakeVllm) -> None:
    await post(engine, ask(max_tokens=5))
    async with aiohttp.ClientSession(engine.url) as session, session.get("/metrics") as got:
        text = await got.text()
    labels = '{engine="0",model_name="tiny-llama"}'
    assert f"vllm:generation_tokens_total{labels} 5.0\n" in text
    assert f"vllm:num_requests_running{labels} 0.0\n" in text


async def test_tokens_and_cached_tokens_come_on_command(engine: FakeVllm) -> None:
    _, text = await post(engine, streamed("!tokens 3 !cached 5 !empty", max_tokens=10))
    *_, last, usage = chunks(text)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == 3
    assert usage["usage"]["prompt_tokens_details"]["cached_tokens"] == 5
    assert chunks(text)[1]["choices"][0]["delta"] == {"content": ""}


async def test_running_counts_are_of_one_choice_and_its_prompt(engine: FakeVllm) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"model": "tiny-llama", "prompt": ["a", "b c d"], "max_tokens": 2, "n": 2}
    _, text = await post(engine, body | {"stream": True, "stream_options": options}, COMPLETIONS)
    *events, last = chunks(text)
    counts = {
        event["choices"][0]["index"]: (
            event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"],
        )
        for event in events
    }  # fmt: skip
    assert counts == {0: (9, 2), 1: (9, 2), 2: (11, 2), 3: (11, 2)}
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (20, 8)


async def test_a_client_that_leaves_stops_the_engine(engine: FakeVllm) -> None:
    async with aiohttp.ClientSession() as session:
        got = await session.post(engine.url + PATH, json=streamed("!delay 20", max_tokens=1000))
        for _ in range(8):
            await got.content.readline()
        assert engine.state()["running"] == 1
        got.close()
    state = engine.wait_for(running=0, aborted=1)
    assert 1 <= state["generated_tokens"] < 1000


async def test_a_stalled_engine_keeps_the_connection(engine: FakeVllm) -> None:
    timeout = aiohttp.ClientTimeout(total=0.3)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(TimeoutError):
            async with session.post(engine.url + PATH, json=streamed("!stall 2")) as got:
                await got.text()
    assert engine.wait_for(aborted=1)["generated_tokens"] == 2


@pytest.mark.parametrize("body", [streamed("!die 2"), ask("!die 2")])
async def test_a_dying_engine_cuts_the_connection(engine: FakeVllm, body: Any) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(engine, body)
    assert engine.wait_for(running=0)["generated_tokens"] == 2


async def test_garbage_and_errors_come_on_command(engine: FakeVllm) -> None:
    assert await post(engine, ask("!garbage")) == (200, "{not json")
    assert 'data: {"id": not json\n\n' in (await post(engine, streamed("!garbage")))[1]
    status, text = await post(engine, streamed("!status 500"))
    assert (status, json.loads(text)["error"]["code"]) == (500, 500)


async def test_the_engine_tells_what_was_sent_to_it(engine: FakeVllm) -> None:
    await post(engine, ask(seed=7))
    state = engine.state()
    assert state["requests"] == 1
    assert state["last_request_headers"]["x-request-id"] == "my-req-124"
    assert state["last_request_body"]["seed"] == 7


async def test_reasoning_and_calls_come_on_command(engine: FakeVllm) -> None:
    said = '!reason 2 !tokens 1 !tool weather {"city": "Luleå"} !tool time {}'
    _, text = await post(engine, ask(said, max_tokens=50))
    answer = json.loads(text)
    message = answer["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == ("index found", "index")
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]]
    assert calls == [("weather", '{"city": "Luleå"}'), ("time", "{}")]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    _, text = await post(engine, streamed(said, max_tokens=50))
    *events, last = chunks(text)
    assert last["usage"] == {
        **answer["usage"], "prompt_tokens_details": last["usage"]["prompt_tokens_details"],
    }  # fmt: skip
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    deltas = [event["choices"][0]["delta"] for event in events]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert "".join(p["function"]["arguments"] for p in pieces if p["index"] == 0) == calls[0][1]
    made = [call["id"] for call in message["tool_calls"]]
    assert [piece["id"] for piece in pieces if "id" in piece] == made
    assert [delta["reasoning"] for delta in deltas if "reasoning" in delta] == ["index", " found"]


async def test_a_call_that_is_cut_is_as_long_as_its_tokens(engine: FakeVllm) -> None:
    _, text = await post(engine, ask('!tool f {"a": 1234567}', max_tokens=2))
    choice = json.loads(text)["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": '


async def test_json_is_said_on_command(engine: FakeVllm) -> None:
    _, text = await post(engine, ask('Where? !say {"city": "Luleå"}'))
    choice = json.loads(text)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"city": "Luleå"}', "stop")


async def test_a_stop_string_is_named(engine: FakeVllm) -> None:
    _, text = await post(engine, ask("!tokens 2 !stop-string END now", max_tokens=9))
    assert json.loads(text)["choices"][0]["stop_reason"] == "END"
    _, text = await post(engine, streamed("!tokens 2 !stop-string END", max_tokens=9))
    assert chunks(text)[-2]["choices"][0]["stop_reason"] == "END"


async def test_the_count_of_a_message_is_that_of_the_chat(engine: FakeVllm) -> None:
    body = {
        "model": "tiny-llama", "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "one two three"}]}],
    }  # fmt: skip
    status, text = await post(engine, body, "/v1/messages/count_tokens")
    real = json.loads(recorded("anthropic-count"))
    assert (status, shape(json.loads(text))) == (200, shape(real))
    assert json.loads(text)["input_tokens"] == 2 + 3 + 8
    _, text = await post(engine, body | {"model": "nope"}, "/v1/messages/count_tokens")
    assert text == recorded("anthropic-err")


async def test_what_finds_no_slot_waits_by_priority_then_by_time() -> None:
    with running(slots=1) as narrow:
        ended = list[int]()

        async def run(number: int, priority: int) -> None:
            await post(narrow, ask(priority=priority))
            ended.append(number)

        stalls = asyncio.create_task(post(narrow, ask("!stall 0")))
        await reaches(narrow, "num_requests_running", 1)
        runs = list[asyncio.Task[None]]()
        for number, priority in enumerate((5, 1, 5), 1):
            runs.append(asyncio.create_task(run(number, priority)))
            await reaches(narrow, "num_requests_waiting", number)
        stalls.cancel()
        await asyncio.gather(*runs)

    assert ended == [2, 1, 3]


async def reaches(engine: FakeVllm, name: str, count: int) -> None:
    """Wait until a metric of the engine has come to `count`."""
    line = re.compile(rf"(?m)^vllm:{name}{{.*}} {count}\.0$")
    async with aiohttp.ClientSession() as session, asyncio.timeout(5):
        while True:
            async with session.get(engine.url + "/metrics") as got:
                if line.search(await got.text()):
                    return
