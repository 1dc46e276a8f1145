from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines import ENGINES, EngineLoad, load_read

VLLM, LLAMACPP = ENGINES["vllm"].load, ENGINES["llamacpp"].load
NOTHING = EngineLoad(None, None, None, None, None)

NEW = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b"} 3.0
vllm:num_requests_waiting{engine="0"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:prefix_cache_queries_total{engine="0"} 1e3
vllm:prefix_cache_hits_total{engine="0"} 384.0
vllm:external_prefix_cache_hits_total{engine="0"} 7.0
vllm:prompt_tokens_total{engine="0"} 999.0
vllm:prompt_tokens_cached_total{engine="0"} 384.0
vllm:generation_tokens_total{engine="0"} 88.0
"""
OLD = b"""\
vllm:num_requests_running{model_name="m"} 1.0
vllm:num_requests_waiting{model_name="m"} 0.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
vllm:gpu_prefix_cache_queries{model_name="m"} 40.0
vllm:gpu_prefix_cache_hits{model_name="m"} 10.0
"""
LLAMA = b"""\
llamacpp:requests_processing 2
llamacpp:requests_deferred 1
llamacpp:kv_cache_usage_ratio 0.75
llamacpp:prompt_tokens_total 5
llamacpp:tokens_predicted_total 9
"""


def test_names_of_today_and_of_before_are_known() -> None:
    assert load_read(NEW, VLLM) == EngineLoad(3, 2, 0.25, 1000, 384, 999, 88)
    assert load_read(OLD, VLLM) == EngineLoad(1, 0, 0.5, 40, 10)
    assert load_read(LLAMA, LLAMACPP) == EngineLoad(2, 1, 0.75, None, None, None, 9)


def test_engines_behind_one_address_add_up_and_the_fullest_cache_counts() -> None:
    other = NEW.replace(b'engine="0"', b'engine="1"').replace(b"0.25", b"0.75")
    assert load_read(NEW + other, VLLM) == EngineLoad(6, 4, 0.75, 2000, 768, 1998, 176)


def test_what_is_missing_is_not_zero() -> None:
    page = NEW.replace(b"vllm:num_requests_waiting{", b"vllm:something_else{")
    assert load_read(page, VLLM).waiting is None
    assert load_read(b"", VLLM) == NOTHING


@pytest.mark.parametrize("value", [b"NaN", b"-1", b"+Inf", b"many", b""])
def test_what_makes_no_sense_is_missing(value: bytes) -> None:
    assert load_read(b"vllm:num_requests_running{} " + value, VLLM) == NOTHING


def test_a_line_may_end_with_its_time() -> None:
    assert load_read(b"vllm:num_requests_running{} 4 1395066363000", VLLM).running == 4


@given(st.binary(), st.integers(0, len(NEW)))
def test_no_page_is_too_broken(garbage: bytes, at: int) -> None:
    load = load_read(NEW[:at] + garbage + NEW[at:], VLLM)
    assert all(value is None or value >= 0 for value in load)
