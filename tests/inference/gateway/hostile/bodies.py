"""Bodies that are not what they should be: as JSON, as text, as names."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

from tests.inference.gateway.hostile.case import Case, post, post_json, posted
from tests.inference.gateway.hostile.good import BODIES

ENGINE_FIELDS: Final = (
    "add_special_tokens", "allowed_token_ids", "bad_words", "cache_prompt", "cache_salt",
    "chat_template", "continuous_usage_stats", "ec_transfer_params", "grammar", "guided_choice",
    "guided_decoding_backend", "guided_grammar", "guided_json", "guided_regex", "id_slot",
    "ignore_eos", "json_schema", "kv_transfer_params", "logits_processors", "lora_name",
    "lora_path", "lora_request", "mm_processor_kwargs", "n_predict", "n_probs", "priority",
    "prompt_embeds", "prompt_logprobs", "request_id", "return_token_ids", "samplers", "slot_id",
    "stop_token_ids", "structured_outputs", "timings_per_token", "truncate_prompt_tokens",
    "use_beam_search", "vllm_xargs",
)  # fmt: skip
"""What an engine would obey and no customer may say."""

_NO_JSON: Final[dict[str, bytes]] = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "half an object": b'{"model": "acme/tiny"',
    "a list": b"[]",
    "a list of bodies": b'[{"model": "acme/tiny"}]',
    "a string": b'"hello"',
    "a number": b"7",
    "null": b"null",
    "true": b"true",
    "text": b"hello",
    "a NUL": b"\0",
    "NULs": b"\0" * 10_000,
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a form": b"model=acme%2Ftiny&prompt=Hello",
    "Python": b"{'model': 'acme/tiny', 'stream': True}",
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94.",
    "MessagePack": b"\x81\xa5model\xa9acme/tiny",
    "brackets, open": b"[" * 90_000,
    "objects, open": b'{"a":' * 15_000,
    "strings, open": b'["' * 45_000,
    "escapes": b'"\\' * 45_000,
    "brackets, closed": b"[" * 45_000 + b"]" * 45_000,
    "an open string": b'{"model": "' + b"x" * 50_000,
}

_MEMBERS: Final[dict[str, bytes]] = {
    "NaN": b'"model": NaN',
    "Infinity": b'"model": Infinity',
    "minus Infinity": b'"model": -Infinity',
    "1e999": b'"model": 1e999',
    "100,000 digits": b'"model": ' + b"9" * 90_000,
    "a leading zero": b'"model": 01',
    "a hex number": b'"model": 0x10',
    "a plus sign": b'"model": +1',
    "a lone surrogate": b'"model": "\\ud800"',
    "a lone low surrogate": b'"model": "\\udc00x"',
    "swapped surrogates": b'"model": "\\udc00\\ud800"',
    "half an escape": b'"model": "\\u12"',
    "an unknown escape": b'"model": "\\x41"',
    "bad UTF-8": b'"model": "\xff"',
    "cut UTF-8": b'"model": "\xe2\x82"',
    "overlong UTF-8": b'"model": "\xc0\xaf"',
    "a surrogate in UTF-8": b'"model": "\xed\xa0\x80"',
    "past Unicode in UTF-8": b'"model": "\xf7\xbf\xbf\xbf"',
    "a raw NUL": b'"model": "a\0b"',
    "a raw line end": b'"model": "a\nb"',
    "a comment": b'"model": "acme/tiny" /* hello */',
    "a trailing comma": b'"x": 1,',
    "two commas": b'"x": 1,, "y": 2',
    "no colon": b'"x" 1',
    "a name without quotes": b"x: 1",
    "a number as a name": b"1: 1",
    "a later model of a wrong type": b'"model": "acme/tiny", "model": 7',
    "a later model that is null": b'"model": "acme/tiny", "model": null',
    "a deep member": b'"x": ' + b"[" * 64 + b"]" * 64,
    "a deep object": b'"x": ' + b'{"a":' * 70 + b"1" + b"}" * 70,
    "brackets that do not match": b'"x": ' + b"[" * 70 + b"}" * 70,
    "a deep member under an escaped quote": b'"x\\"": ' + b"[" * 70 + b"]" * 70,
    "an engine's field, spelled otherwise": b'"cache\\u005fsalt": "mine"',
    "an engine's field, twice": b'"priority": null, "priority": 1',
}

_MODELS: Final[dict[str, tuple[str, int]]] = {
    "no model": ("", 400),
    "a blank model": (" ", 404),
    "a long model": ("x" * 201, 400),
    "an unknown model": ("gpt-4o", 404),
    "a path": ("../../etc/passwd", 404),
    "a URL": ("http://169.254.169.254/latest/meta-data/", 404),
    "SQL": ("' OR 1=1; DROP TABLE inference_model; --", 404),
    "a template": ("{{ 7 * 7 }}${7*7}%s%n", 404),
    "HTML": ("<script>alert(1)</script>", 404),
    "line ends": ("a\r\nX-Injected: 1\r\n\r\n", 404),
    "a NUL": ("acme/tiny\0", 404),
    "other letters": ("acme/tin\N{CYRILLIC SMALL LETTER U}", 404),
    "another case": ("ACME/TINY", 404),
    "a blank after it": ("acme/tiny ", 404),
    "right to left": ("\N{RIGHT-TO-LEFT OVERRIDE}ynit/emca", 404),
    "emoji": ("\N{PILE OF POO}" * 100, 404),
}


def cases() -> Iterator[Case]:
    for path in BODIES:
        yield from _of(f"/v1/{path}", BODIES[path])
    yield from _packed()


def _of(path: str, good: dict[str, Any]) -> Iterator[Case]:
    for name, data in _NO_JSON.items():
        yield post(f"{path}: {name}", path, data)
    text = json.dumps(good).encode()
    for name, member in _MEMBERS.items():
        yield post(f"{path}: {name}", path, text[:-1] + b", " + member + b"}")
    for name, (model, status) in _MODELS.items():
        yield post_json(f"{path}: {name} as model", path, good | {"model": model}, status)
    for field in ENGINE_FIELDS:
        yield post_json(f"{path}: {field}", path, good | {field: None})
    for name, data in {
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "UTF-16": text.decode().encode("utf-16"),
        "UTF-32": text.decode().encode("utf-32-le"),
        "something after it": text + b"x",
        "a bracket after it": text + b"}",
        "a NUL after it": text + b"\0",
        "itself after it": text + text,
        "lines of JSON": text + b"\n" + text,
    }.items():
        yield post(f"{path}: {name}", path, data)
    yield post(f"{path}: too large", path, b" " * 350_000, 413)
    yield post(f"{path}: too large for text", path, text + b" " * 150_000, 413)


def _packed() -> Iterator[Case]:
    """What would unfold into 100 MB, were it unpacked."""
    path = "/v1/chat/completions"
    zeros = b" " * 100_000_000
    bomb = gzip.compress(zeros)[:90_000]
    for coding in ("gzip", "x-gzip", "br", "deflate", "zstd", "compress", "GZIP", "gzip, gzip",
                   "identity, gzip", "aes128gcm", "no-such-coding"):  # fmt: skip
        data = zlib.compress(zeros[:1_000_000]) if coding == "deflate" else bomb
        packed = posted(path, data, ("Content-Encoding", coding))
        yield Case(f"packed by {coding}", (packed,), frozenset({415}), path)
    twice = posted(path, bomb, ("Content-Encoding", "identity"), ("Content-Encoding", "gzip"))
    yield Case("packed by a second header", (twice,), frozenset({415}), path)
    yield post("packed, and not said so", path, bomb)
