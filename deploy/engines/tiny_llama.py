"""A chat model of 2 million random weights: `python tiny_llama.py FOLDER`.

It says nothing of sense, and counts, streams, caches and refuses like a large one. Runs in the
environment of the engines, without a network.
"""

from __future__ import annotations

import argparse
import sysconfig
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT_TOKENS: Final = 2048
VOCABULARY: Final = 4096
BEGIN, END, PAD, TURN = SPECIAL = ("<s>", "</s>", "<pad>", "<|turn|>")
TEMPLATE: Final = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def tokenizer_made() -> PreTrainedTokenizerFast:
    """Byte pairs of what every Python has: the sources of its own library."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library = Path(sysconfig.get_path("stdlib"))
    tokenizer.train([str(path) for path in sorted(library.glob("[a-d]*.py"))], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD,
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
    return LlamaForCausalLM(config).to(torch.bfloat16)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    tokenizer = tokenizer_made()
    tokenizer.save_pretrained(folder)
    model_made(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
