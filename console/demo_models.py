"""The models of `make up`, by the engine that serves them there: ENGINE=llamacpp or vllm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inference.engines import demo
from inference.models import Capability, Engine, Task


@dataclass(frozen=True)
class DemoModel:
    """A model of the catalog, and the backend that serves it alone."""

    public_id: str
    name: str
    engine: Engine
    backend: str
    tasks: Sequence[Task]
    context_tokens: int
    owned_by: str
    licence: str
    description: str
    capabilities: Sequence[Capability] = ()
    tool_parser: str = ""
    flags: Sequence[str] = ()
    """More for `vllm serve`."""


GEMMA: Final = DemoModel(
    public_id=demo.ENGINE_MODEL,
    name="Gemma 3 270M",
    engine=Engine.LLAMACPP,
    backend="demo",
    tasks=(Task.CHAT, Task.COMPLETION),
    context_tokens=demo.CONTEXT_TOKENS,
    owned_by="Google",
    licence="Gemma",
    description="A very small model that runs on the CPU, to try the platform with.",
)
TINY_LLAMA: Final = DemoModel(
    public_id="tiny-llama",
    name="Tiny Llama",
    engine=Engine.VLLM,
    backend="demo-tiny-llama",
    tasks=(Task.CHAT, Task.COMPLETION),
    context_tokens=2048,
    owned_by="Sluice",
    licence="Apache 2.0",
    description=(
        "Random weights on vLLM, to try the API with: it says nothing of sense. Given the tool "
        "`get_weather`, it calls it."
    ),
    capabilities=(Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING),
    tool_parser="hermes",
    flags=("--enforce-eager", "--max-num-seqs=8", "--reasoning-parser=deepseek_v3"),
)
MINILM: Final = DemoModel(
    public_id="all-minilm-l6-v2",
    name="all-MiniLM-L6-v2",
    engine=Engine.VLLM,
    backend="demo-all-minilm-l6-v2",
    tasks=(Task.EMBEDDING, Task.RERANK),
    context_tokens=256,
    owned_by="Sentence Transformers",
    licence="Apache 2.0",
    description="Embeddings of 384 numbers, on the CPU.",
    flags=("--runner=pooling", "--enforce-eager", "--dtype=float32"),
)

DEMO_MODELS: Final[Mapping[Engine, Sequence[DemoModel]]] = {
    Engine.LLAMACPP: (GEMMA,),
    Engine.VLLM: (TINY_LLAMA, MINILM),
}
"""The first of each is the one that `make up` shows how to call."""
