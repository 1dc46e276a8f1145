"""The most that one request to a model may hold."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.conf import settings

from inference.models import Model, Task

_BODY_SETTINGS: Final = {
    Task.CHAT: "GATEWAY_MAX_IMAGES_BODY_BYTES",
    Task.TRANSCRIPTION: "GATEWAY_MAX_AUDIO_BODY_BYTES",
    Task.TRANSLATION: "GATEWAY_MAX_AUDIO_BODY_BYTES",
}


class Limits(NamedTuple):
    """`images` is how many, `pixels` is of each of them."""

    body_bytes: int
    images: int
    pixels: int


def limits_of(model: Model) -> Limits:
    """The limits of the gateway for the tasks of `model`, and its own where they are lower."""
    names = (_BODY_SETTINGS.get(Task(task), "GATEWAY_MAX_BODY_BYTES") for task in model.tasks)
    return Limits(
        _lower(max(getattr(settings, name) for name in names), model.max_body_bytes),
        _lower(settings.GATEWAY_MAX_IMAGES, model.max_images),
        _lower(settings.GATEWAY_MAX_IMAGE_PIXELS, model.max_pixels),
    )


def _lower(limit: int, own: int | None) -> int:
    return limit if own is None else min(limit, own)
