"""Routes to backends that nobody asks, for what only counts them."""

from __future__ import annotations

from uuid import UUID, uuid4

from inference.snapshot import Route


def route_to(name: str = "one", *, backend_id: UUID | None = None, weight: int = 1) -> Route:
    return Route(
        backend_id=backend_id or uuid4(),
        backend=name,
        base_url="http://127.0.0.1:9",
        engine="vllm",
        engine_model="tiny",
        region="se-north",
        weight=weight,
        max_in_flight=256,
        key="",
    )


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
