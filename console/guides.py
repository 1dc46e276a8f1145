"""The documentation for customers: its pages, and what this installation fills into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from billing.written import THIN, grouped
from console import markdown, reference
from console.api.reference import management_markdown
from inference.models import Capability, Model, Task
from tenants.audit import signing
from tenants.models import Organization

SITE: Final = settings.BASE_DIR / "docs" / "site"
GROUPS: Final = (
    (_("Begin"), ("quickstart", "from-openai", "from-anthropic")),
    (_("Use"), ("streaming", "structured-output", "vision", "audio", "embeddings", "reliability")),
    (_("Manage"), ("billing", "management", "management-reference")),
    (_("Look up"), ("endpoints", "objects", "errors", "keys", "limits", "privacy", "audit")),
)
SLUGS: Final = tuple(slug for _name, slugs in GROUPS for slug in slugs)
FIRST: Final = SLUGS[0]
MODELS: Final[Mapping[str, tuple[Task, Capability | None]]] = {
    "chat_model": (Task.CHAT, None),
    "tool_model": (Task.CHAT, Capability.TOOLS),
    "vision_model": (Task.CHAT, Capability.VISION),
    "completion_model": (Task.COMPLETION, None),
    "embedding_model": (Task.EMBEDDING, None),
    "rerank_model": (Task.RERANK, None),
    "transcription_model": (Task.TRANSCRIPTION, None),
    "translation_model": (Task.TRANSLATION, None),
}
"""What a page may call a model by, and what that model must be able to do."""
_WRITTEN: Final = {**reference.PAGES, "management-reference": management_markdown}
_GAP: Final = re.compile(r"\{\{ (\w+) \}\}")


@dataclass(frozen=True, slots=True)
class Guide:
    """A page of the documentation as it was written, with gaps such as `{{ base_url }}`."""

    slug: str
    source: str

    @property
    def title(self) -> str:
        return self.source.partition("\n")[0].removeprefix("# ")

    @property
    def gaps(self) -> list[str]:
        return list(dict.fromkeys(_GAP.findall(self.source)))

    def filled(self, values: Mapping[str, str]) -> str:
        """The Markdown of the page, less its gaps."""
        return _GAP.sub(lambda gap: values[gap[1]], self.source)

    def missing(self, values: Mapping[str, str]) -> list[str]:
        """The stand-ins that it names, since this installation has no such model."""
        return [values[gap] for gap in self.gaps if gap in MODELS and _is_stand_in(values[gap])]


@cache
def guides() -> dict[str, Guide]:
    """All pages by slug, in their order."""
    return {slug: Guide(slug, _source(slug)) for slug in SLUGS}


def _source(slug: str) -> str:
    written = _WRITTEN.get(slug)
    return written() if written else Path(SITE / f"{slug}.md").read_text()


def values_for(organization: Organization | None) -> dict[str, str]:
    """What fills the gaps: the models are those that the organization may call, or anyone."""
    found = Model.objects.enabled()
    found = found.for_organization(organization) if organization else found.filter(is_public=True)
    offers = list(found.values_list("public_id", "tasks", "capabilities"))
    return settings_values() | {name: _model(offers, name) for name in MODELS}


def settings_values() -> dict[str, str]:
    """Addresses and limits of this installation."""
    return {
        "site_name": settings.SITE_NAME,
        "base_url": settings.GATEWAY_URL,
        "host_url": settings.GATEWAY_URL.removesuffix("/v1"),
        "console_url": settings.CONSOLE_URL,
        "management_url": settings.MANAGEMENT_URL,
        "management_rpm": str(settings.MANAGEMENT_REQUESTS_PER_MINUTE),
        "max_body": _size(settings.GATEWAY_MAX_BODY_BYTES),
        "max_images_body": _size(settings.GATEWAY_MAX_IMAGES_BODY_BYTES),
        "max_audio_body": _size(settings.GATEWAY_MAX_AUDIO_BODY_BYTES),
        "max_images": str(settings.GATEWAY_MAX_IMAGES),
        "max_pixels": grouped(settings.GATEWAY_MAX_IMAGE_PIXELS),
        "body_timeout": f"{settings.GATEWAY_BODY_TIMEOUT_S:g}{THIN}s",
        "total_timeout": f"{settings.GATEWAY_TOTAL_TIMEOUT_S / 60:g}{THIN}min",
        "queue_timeout": f"{settings.GATEWAY_QUEUE_TIMEOUT_S:g}{THIN}s",
        "max_waiting": str(settings.GATEWAY_MAX_WAITING),
        "audit_key": signing.published_key() or "none yet: ask your provider",
    }


def _size(count: int) -> str:
    return f"{count / settings.MB:.3g}{THIN}MB"


def _model(offers: Iterable[tuple[str, list[str], list[str]]], name: str) -> str:
    """The first of `offers` (id, tasks, capabilities) that can do what `name` says."""
    task, capability = MODELS[name]
    able = (
        public_id
        for public_id, tasks, capabilities in offers
        if task in tasks and (capability is None or capability in capabilities)
    )
    return next(able, _stand_in(name))


def _stand_in(name: str) -> str:
    return f"your-{name.replace('_', '-')}"


def _is_stand_in(model: str) -> bool:
    return model in map(_stand_in, MODELS)


def page_url(slug: str, organization: Organization | None) -> str:
    """Where a page is: within the console of an organization, or open to anyone."""
    if organization:
        return reverse("org_docs_page", args=(organization.slug, slug))
    return reverse("docs_page", args=(slug,))


def document_of(
    guide: Guide, values: Mapping[str, str], organization: Organization | None
) -> markdown.Document:
    """The page as HTML, kept until something in it changes."""
    slug = organization.slug if organization else ""
    return _document(guide.filled(values), slug, get_language() or "")


@lru_cache(maxsize=64)
def _document(text: str, org: str, language: str) -> markdown.Document:
    return markdown.document(text, _link_in(org))


def _link_in(org: str) -> Callable[[str], str]:
    """Addresses of pages by slug; of one that does not exist it raises KeyError."""

    def link(slug: str) -> str:
        page = guides()[slug].slug
        return (
            reverse("org_docs_page", args=(org, page))
            if org
            else reverse("docs_page", args=(page,))
        )

    return link


def llms_txt() -> str:
    """The pages for machines that read Markdown, after https://llmstxt.org."""
    base = settings.CONSOLE_URL
    lines = [
        f"# {settings.SITE_NAME}",
        "",
        f"> Open models behind OpenAI's API and Anthropic's, at {settings.GATEWAY_URL}",
    ]
    for name, slugs in GROUPS:
        lines += ["", f"## {name}", ""]
        lines += [
            f"- [{guides()[slug].title}]({base}{reverse('docs_markdown', args=(slug,))})"
            for slug in slugs
        ]
    return "\n".join([*lines, ""])
