"""A chat model of 2 million random weights: `python tiny_llama.py FOLDER`.

It says nothing of sense, and counts, streams, caches and refuses like a large one. Parsers have
something to parse: it recites CALLS when it is offered the tool `get_weather`, and begins with
THOUGHTS when it is told to think. Runs in the environment of the engines, without a network.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from tiny_tokenizer import tokenizer_trained
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT_TOKENS: Final = 2048
VOCABULARY: Final = 4096
BEGIN, END, PAD, TURN = SPECIAL = ("<s>", "</s>", "<pad>", "<|turn|>")
CALLS: Final = (
    "<|call|>", "I look it up.", "\n<tool_call>\n", '{"name": "get_weather", "arguments": ',
    '{"city": "Luleå"}', "}\n</tool_call>", "\n<tool_call>", '{"name": "get_weather", ',
    '"arguments": {"city":', ' "Kiruna"}}', "</tool_call>",
)  # fmt: skip
THOUGHTS: Final = ("<|think|>", "<think>", "Shall I", " answer?", " I shall.", "</think>")
"""Tokens, each of which makes the next one follow; the first is said by the template alone."""
TEMPLATE: Final = """
{%- if tools %}<|turn|>tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</s>
{% endif %}
{%- for message in messages %}<|turn|>{{ message['role'] }}
{{ message['content'] or '' }}
{%- for call in message['tool_calls'] or [] %}
<tool_call>{{ call['function'] | tojson }}</tool_call>
{%- endfor %}</s>
{% endfor %}
{%- if add_generation_prompt %}<|turn|>assistant
{% if tools and tools[0]['function']['name'] == 'get_weather' and messages[-1]['role'] == 'user' -%}
<|call|>
{%- elif thinking or enable_thinking -%}
<|think|>
{%- endif %}{% endif %}"""


def tokenizer_made() -> PreTrainedTokenizerFast:
    trained = tokenizer_trained(VOCABULARY, SPECIAL)
    trained.add_tokens([*CALLS, *THOUGHTS])
    made = PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token=BEGIN, eos_token=END, pad_token=PAD,
        model_max_length=CONTEXT_TOKENS,
    )  # fmt: skip
    made.chat_template = TEMPLATE
    return made


def model_made(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    pairs = [*pairwise((*CALLS, END)), *pairwise(THOUGHTS)]
    with torch.no_grad():
        teach(model, [tokenizer.convert_tokens_to_ids(list(pair)) for pair in pairs])
    return model.to(torch.bfloat16)


def teach(model: LlamaForCausalLM, pairs: list[list[int]]) -> None:
    """The first token of each pair makes the second follow, and nothing else leads to the first.

    Each has a dimension of its own, which no layer writes to; one more marks all other tokens.
    """
    other = len(pairs)
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[: other + 1] = 0
        layer.mlp.down_proj.weight[: other + 1] = 0
    embedding[:, : other + 1] = head[:, : other + 1] = 0
    embedding[:, other] = 0.5
    for own, (token, _following) in enumerate(pairs):
        embedding[token] = head[token] = 0
        embedding[token, own], head[token, other] = 8, -20
    for own, (_token, following) in enumerate(pairs):
        head[following, own] = 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    tokenizer = tokenizer_made()
    tokenizer.save_pretrained(folder)
    model_made(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
