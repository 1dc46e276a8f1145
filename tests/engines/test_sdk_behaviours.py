"""Whatever the SDKs can do with plain vLLM, they can do through the gateway."""

from __future__ import annotations

import pytest

from tests.conftest import Cast
from tests.engines import fleet
from tests.engines.asking import Side
from tests.engines.behaviours import LISTENING, READING, TEXTS, Entry
from tests.engines.conftest import EMBEDDER, LISTENER, MODEL
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import Running

pytestmark = pytest.mark.django_db


def same(plain: Vllm, gateway: Running, cast: Cast, model: str, entry: Entry) -> None:
    """Raises the SDK's error when plain vLLM does not do it: then it does not belong here."""
    expected = Side(plain.url, fleet.KEY, plain.name).do(entry)
    assert Side(gateway.url, cast.key.secret, model).do(entry) == expected


@pytest.mark.parametrize("behaviour", TEXTS)
def test_what_vllm_does_with_text_the_gateway_does(
    vllm: Vllm, gateway: Running, cast: Cast, behaviour: str
) -> None:
    same(vllm, gateway, cast, MODEL, TEXTS[behaviour])


@pytest.mark.parametrize("behaviour", READING)
def test_what_vllm_does_with_vectors_the_gateway_does(
    minilm: Vllm, gateway: Running, cast: Cast, behaviour: str
) -> None:
    same(minilm, gateway, cast, EMBEDDER, READING[behaviour])


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK says so of audio
@pytest.mark.parametrize("behaviour", LISTENING)
def test_what_vllm_does_with_sound_the_gateway_does(
    whisper: Vllm, gateway: Running, cast: Cast, behaviour: str
) -> None:
    same(whisper, gateway, cast, LISTENER, LISTENING[behaviour])


def test_the_list_is_long() -> None:
    assert len(TEXTS) + len(READING) + len(LISTENING) >= 60
