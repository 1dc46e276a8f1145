"""A Whisper of random weights: `python tiny_whisper.py FOLDER`.

It hears SAID in everything, and takes the files, the formats and the languages of a large one. Runs
in the environment of the engines, without a network.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from tiny_tokenizer import tokenizer_trained
from tokenizers import AddedToken
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

TEXT_TOKENS: Final = 1000
CONTEXT_TOKENS: Final = 64
END, START = "<|endoftext|>", "<|startoftranscript|>"
SPECIAL: Final = (
    START, *(f"<|{language}|>" for language in LANGUAGES), "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
)  # fmt: skip
"""After the words, and the times last, as engines expect."""
SAID: Final = (
    "Noise", " and", " noise.", "<|1.00|>", "<|1.20|>", " More", " of it.", "<|2.00|>", END,
)  # fmt: skip
"""Tokens, each of which makes the next one follow: two sentences with their times."""
STARTS: Final = ("<|notimestamps|>", "<|0.00|>")


def tokenizer_made() -> WhisperTokenizer:
    trained = json.loads(tokenizer_trained(TEXT_TOKENS, [END]).to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    tokenizer = WhisperTokenizer(vocab=trained["vocab"], merges=merges, pad_token=END)
    tokenizer.add_tokens([word for word in SAID if word not in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return tokenizer


def model_made(tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    torch.manual_seed(1)
    end, start = tokenizer.convert_tokens_to_ids([END, START])
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=128,
        decoder_ffn_dim=128, max_target_positions=CONTEXT_TOKENS, decoder_start_token_id=start,
        bos_token_id=end, eos_token_id=end, pad_token_id=end, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config.max_length = CONTEXT_TOKENS
    pairs = [*((start, SAID[0]) for start in STARTS), *pairwise(SAID)]
    with torch.no_grad():
        teach(model, [tokenizer.convert_tokens_to_ids(list(pair)) for pair in pairs])
    return model


def teach(model: WhisperForConditionalGeneration, pairs: list[list[int]]) -> None:
    """The first token of each pair makes the second follow: a neuron of the decoder sees to it."""
    embedding, layer = model.model.decoder.embed_tokens.weight, model.model.decoder.layers[0]
    embedding.normal_()
    layer.fc1.weight.zero_()
    layer.fc1.bias.fill_(-4)
    for neuron, (token, following) in enumerate(pairs):
        layer.fc1.weight[neuron] = embedding[token] / 8
        layer.fc2.weight[:, neuron] = embedding[following] - embedding[token] / 4


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    tokenizer = tokenizer_made()
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    model_made(tokenizer).save_pretrained(folder)


if __name__ == "__main__":
    main()
