"""What a request for a message may say, and what is asked of an engine for it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from inference.gateway.bodies import body_decoder
from inference.gateway.errors import InvalidRequest
from inference.gateway.messages.asking import chat_of, count_of
from inference.gateway.messages.bodies import CountBody, MessagesBody

read = body_decoder(MessagesBody)
read_count = body_decoder(CountBody)

USER: dict[str, Any] = {"role": "user", "content": "Hi"}
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL: dict[str, Any] = {
    "name": "weather", "description": "Of a city", "strict": True,
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip
BASE: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [USER]}


def asked(**fields: Any) -> dict[str, Any]:
    """The chat for a request with these fields, as the engine gets it."""
    body = read(json.dumps(BASE | fields).encode())
    chat: dict[str, Any] = json.loads(msgspec.json.encode(chat_of(body)))
    return chat


def messages(*given: Any, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(messages=given, **fields)["messages"]
    return found


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def result(content: Any, id_: str = "a", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id_, "content": content, **fields}


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(json.dumps(BASE | fields).encode())
    return caught.value


def test_a_text_is_a_message_of_the_user_after_what_the_system_says() -> None:
    assert asked() == {"model": "m", "max_tokens": 9, "messages": [USER]}
    assert asked(system="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        USER,
    ]


def test_all_that_the_system_says_is_one_message_at_the_start() -> None:
    header = "x-anthropic-billing-header: cc_version=1; cch=5f2;"
    assert messages(
        USER,
        {"role": "system", "content": "A reminder."},
        {"role": "system", "content": [text("Another.")]},
        system=[text(header), text("One."), text("Two.", cache_control={"type": "ephemeral"})],
    ) == [{"role": "system", "content": "One.\n\nTwo.\n\nA reminder.\n\nAnother."}, USER]


def test_blocks_of_texts_and_images_are_parts() -> None:
    assert messages(user(text("What is this?", citations=None), IMAGE, text(""))) == [
        user(text("What is this?"), IMAGE_PART)
    ]
    assert messages(user(text("Hi", cache_control={"type": "ephemeral", "ttl": "1h"}))) == [USER]


def test_turns_of_one_role_are_one() -> None:
    reply = {"role": "assistant", "content": "Yes"}
    assert messages(USER, user(text("you")), reply, reply, USER) == [
        user(text("Hi"), text("you")),
        {"role": "assistant", "content": [text("Yes"), text("Yes")]},
        USER,
    ]


def test_an_earlier_answer_and_the_results_of_its_calls_are_messages_of_a_chat() -> None:
    city = '{"city":"Luleå","big":12345678901234567890123}'
    assert messages(
        USER,
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Two ", "signature": "x"},
            {"type": "redacted_thinking", "data": "AA"},
            {"type": "thinking", "thinking": "calls."},
            text("I look."),
            {"type": "tool_use", "id": "a", "name": "weather", "input": json.loads(city)},
            {"type": "tool_use", "id": "b", "name": "time", "input": {}, "toolset_name": None},
        ]},
        user(text("And now?"), result([text("Cold"), IMAGE, text("Dark")]), result(None, "b")),
    )[1:] == [
        {
            "role": "assistant", "content": "I look.", "reasoning": "Two calls.",
            "tool_calls": [
                {"type": "function", "id": "a", "function": {"name": "weather", "arguments": city}},
                {"type": "function", "id": "b", "function": {"name": "time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "Cold\nDark", "tool_call_id": "a"},
        {"role": "tool", "content": "", "tool_call_id": "b"},
        user(text("And now?"), IMAGE_PART),
    ]  # fmt: skip


def test_results_alone_make_no_message_of_the_user() -> None:
    assert messages(user(result("Cold"))) == [
        {"role": "tool", "content": "Cold", "tool_call_id": "a"}
    ]


def test_a_result_that_is_an_error_says_so() -> None:
    [message] = messages(user(result([text("no such city")], is_error=True)))
    assert message["content"] == "Error: no such city"


def test_a_turn_of_calls_alone_has_no_content() -> None:
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert "content" not in messages(USER, {"role": "assistant", "content": [call]})[1]


def test_an_empty_turn_stays_a_turn() -> None:
    assert messages(user(), {"role": "assistant", "content": [text("")]}) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
    ]


def test_documents_and_results_of_a_search_become_text() -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "Water flows."}
    parts = {"type": "content", "content": [text("Page 1"), IMAGE]}
    found = {
        "type": "search_result", "source": "https://x", "title": "Dams", "content": [text("Deep")],
        "citations": {"enabled": True},
    }  # fmt: skip
    documents = [
        {"type": "document", "source": plain, "title": "Rivers", "context": "Of the north"},
        {"type": "document", "source": parts},
        {"type": "document", "source": {"type": "content", "content": "Page 2"}},
    ]
    [message] = messages(user(*documents, found))
    assert message["content"] == [
        text("Rivers"), text("Of the north"), text("Water flows."), text("Page 1"), IMAGE_PART,
        text("Page 2"), text("Dams"), text("https://x"), text("Deep"),
    ]  # fmt: skip
    [told] = messages(user(result([documents[0], found])))
    assert told["content"] == "Rivers\nOf the north\nWater flows.\nDams\nhttps://x\nDeep"


def test_tools_and_their_choice() -> None:
    bare: dict[str, Any] = {
        "name": "time",
        "input_schema": {},
        "type": "custom",
        "cache_control": None,
    }
    chat = asked(tools=[TOOL | {"eager_input_streaming": True}, bare])
    assert [tool["function"] for tool in chat["tools"]] == [
        {"name": "weather", "description": "Of a city", "strict": True,
         "parameters": TOOL["input_schema"]},
        {"name": "time", "parameters": {"type": "object"}},
    ]  # fmt: skip
    assert "tool_choice" not in chat
    for choice, wanted in (
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"},
         {"type": "function", "function": {"name": "weather"}}),
    ):  # fmt: skip
        chat = asked(tools=[TOOL], tool_choice=choice)
        assert chat["tool_choice"] == wanted
        assert "parallel_tool_calls" not in chat
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    assert asked(tools=[TOOL], tool_choice=alone)["parallel_tool_calls"] is False
    assert "tool_choice" not in asked(tools=[], tool_choice={"type": "auto"})


@pytest.mark.parametrize(
    ("thinking", "thinks"),
    [
        ({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}, True),
        ({"type": "adaptive", "display": None}, True),
        ({"type": "between_tools"}, True),
        ({"type": "disabled"}, False),
    ],
)
def test_thinking_is_switched_in_the_template(thinking: Any, thinks: bool) -> None:
    switches = {"enable_thinking": thinks, "thinking": thinks}
    assert asked(thinking=thinking)["chat_template_kwargs"] == switches


def test_how_the_answer_is_sampled_and_what_it_looks_like() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    output = {"effort": "max", "format": {"type": "json_schema", "schema": schema}}
    assert asked(
        temperature=0.5, top_p=0.9, top_k=5, stop_sequences=["END"], stream=True,
        output_config=output, chat_template_kwargs={"enable_thinking": False},
    ) == {
        "model": "m", "messages": [USER], "max_tokens": 9, "stream": True, "temperature": 0.5,
        "top_p": 0.9, "top_k": 5, "stop": ["END"], "reasoning_effort": "max",
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "answer", "schema": schema},
        },
        "chat_template_kwargs": {"enable_thinking": False},
    }  # fmt: skip


def test_what_has_no_effect_is_taken_and_does_not_pass() -> None:
    assert asked(
        metadata={"user_id": "u"}, service_tier="auto", container="c", inference_geo="eu",
        cache_control={"type": "ephemeral"}, speed="fast", diagnostics={}, context_management={},
         user_profile_id="p", workspace_id="w", mcp_servers=[],
        betas=["x"], anything=1,
    ) == asked()  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [user({"type": "video"})]}, "messages[0].content[0].type"),
        ({"messages": [user(text(7))]}, "messages[0].content[0].text"),  # type: ignore[arg-type]
        ({"messages": [user(result(7))]}, "messages[0].content[0].content"),
        ({"messages": [user(result("x", is_error="no"))]}, "messages[0].content[0].is_error"),
        ({"system": 7}, "system"),
        ({"system": [IMAGE]}, "system[0].type"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"stop_sequences": list("abcde")}, "stop_sequences"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": "x"}, "metadata"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"tools": [{"name": "f"}]}, "tools[0]"),
        ({"tools": [TOOL | {"name": "a b"}]}, "tools[0].name"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        ({"cache_salt": "x"}, "cache_salt"),
        ({"vllm_xargs": {}}, "vllm_xargs"),
        ({"kv_transfer_params": {}}, "kv_transfer_params"),
    ],
)
def test_a_wrong_value_is_named_in_the_message(fields: dict[str, Any], param: str) -> None:
    """Anthropic's errors have no field for the name."""
    error = refusal(**fields)
    assert error.param == param
    assert f"`{param}`" in error.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [user(IMAGE | {"source": {"type": "url", "url": "http://10.0.0.1/"}})]},
         "Send the image itself"),
        ({"messages": [user(IMAGE | {"source": {"type": "file", "file_id": "f"}})]},
         "Files are not kept"),
        ({"messages": [user({"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "AA=="}})]},
         "Send their text"),
        ({"messages": [user({"type": "tool_use", "id": "a", "name": "f", "input": {}})]},
         "cannot hold a `tool_use`"),
        ({"messages": [{"role": "assistant", "content": [IMAGE]}]}, "cannot hold a `image`"),
        ({"messages": [user({"type": "server_tool_use"})]}, "'server_tool_use'"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
         "`web_search_20250305`"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "`input_schema`"),
        ({"mcp_servers": [{"type": "url", "url": "http://x"}]}, "Call them"),
        ({"thread": {"id": "t"}}, "Nothing is stored"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_with_what_to_do_instead(
    fields: dict[str, Any], words: str
) -> None:
    assert words in refusal(**fields).message


def test_what_is_counted_is_the_conversation_in_its_plain_form() -> None:
    body = {
        "model": "m", "system": [text("One."), text("Two.")], "tools": [TOOL],
        "tool_choice": {"type": "any"}, "thinking": {"type": "disabled"}, "stream": True,
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        "messages": [
            USER,
            {"role": "system", "content": "Three."},
            {"role": "assistant", "content": [
                {"type": "redacted_thinking", "data": "x"}, text("Yes"),
            ]},
            user(text("Then?"), result([text("Cold"), IMAGE])),
        ],
    }  # fmt: skip
    count = count_of(read_count(json.dumps(body).encode()), "tiny")
    assert json.loads(msgspec.json.encode(count)) == {
        "model": "tiny", "system": "One.\n\nTwo.\n\nThree.",
        "messages": [
            user(text("Hi")),
            {"role": "assistant", "content": [text("Yes")]},
            user(result("Cold"), text("Then?"), IMAGE),
        ],
        "tools": [TOOL], "tool_choice": {"type": "any"}, "output_config": {"effort": "low"},
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
    }  # fmt: skip
