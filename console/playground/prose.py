"""An answer as HTML. What a model writes is never trusted: no HTML, no pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_markdown: Final = MarkdownIt("js-default", {"html": False, "linkify": False, "breaks": True})
_markdown.disable("image")


def _link_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noreferrer nofollow noopener")
    tokens[at].attrSet("target", "_blank")
    return self.renderToken(tokens, at, options, env)


def _heading(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """The page has its own outline, and an answer is no part of it."""
    return '<p class="st">' if tokens[at].type == "heading_open" else "</p>\n"


def _table(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    is_open = tokens[at].type == "table_open"
    return '<div class="tw" tabindex="0"><table class="table">' if is_open else "</table></div>\n"


def _code(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A block that may scroll sideways is reached by keyboard."""
    plain = RendererHTML.fence if tokens[at].type == "fence" else RendererHTML.code_block
    return plain(self, tokens, at, options, env).replace("<pre>", '<pre tabindex="0">', 1)


_markdown.add_render_rule("link_open", _link_open)
for name, rule in (("heading", _heading), ("table", _table)):
    _markdown.add_render_rule(f"{name}_open", rule)
    _markdown.add_render_rule(f"{name}_close", rule)
for name in ("fence", "code_block"):
    _markdown.add_render_rule(name, _code)


def prose(text: str) -> SafeString:
    """The Markdown `text`, whole or cut anywhere."""
    html: str = _markdown.render(text)
    return mark_safe(html)  # noqa: S308 - no HTML of the text passes
