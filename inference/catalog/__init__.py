"""The models that can be added with a click: what their publishers say of them, as data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """An open model, by the names of `inference.models.Model`; what is not known is empty.

    `not_servable` says why the gateway cannot serve it yet.
    """

    id: str
    name: str
    family: str
    owned_by: str
    engine_model: str
    source_url: str
    context_tokens: int
    tasks: list[str]
    description: str
    licence: str = ""
    licence_url: str = ""
    release_date: date | None = None
    capabilities: list[str] = field(default_factory=list)
    card: dict[str, str] = field(default_factory=dict)
    not_servable: str = ""


@cache
def known_models() -> dict[str, KnownModel]:
    """All of them by id, in the order of the file: by family."""
    entries = tomllib.loads(DATA.read_text())["model"]
    return {entry["id"]: KnownModel(**entry) for entry in entries}
