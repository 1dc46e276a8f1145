"""Markdown as pages show it: Tabler's classes, anchors, copy buttons, code in colours.

Nothing inline and no HTML of the text's own, so that the strict policy holds. Code blocks that
follow each other are tabs of one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import Final

from django.template.loader import render_to_string
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, String
from pygments.token import _TokenType as TokenType

LANGUAGES: Final = {
    "bash": "curl", "python": "Python", "js": "JavaScript", "json": "JSON", "http": "HTTP",
    "text": "Text",
}  # fmt: skip
MAX_CONTENTS: Final = 20
_CLASSES: Final = ((Keyword, "fw-bold"), (String, "tx"), (Comment, "text-secondary"))
_ATTRIBUTES: Final = {
    "heading_open": {"h2": "fs-2 pt-4 mb-2", "h3": "fs-3 pt-3 mb-2", "h4": "pt-2 mb-1"},
    "table_open": {"table": "table"},
    "th_open": {"th": "nw"},
}
_markdown: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def _code_inline(_renderer: object, tokens: Sequence[Token], at: int, *_: object) -> str:
    """Long names break after a `_` or a `/`, where a phone has no room for them."""
    return f"<code>{re.sub(r'(?<=\w)([_/])', r'\1<wbr>', escape(tokens[at].content))}</code>"


_markdown.add_render_rule("code_inline", _code_inline)


@dataclass(frozen=True, slots=True)
class Heading:
    id: str
    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text as HTML. Its title and its first paragraph stand apart from the rest."""

    title: str
    lead: SafeString
    html: SafeString
    headings: tuple[Heading, ...]

    @property
    def contents(self) -> list[Heading]:
        """The parts of the page, unless they are too many for a menu."""
        parts = [heading for heading in self.headings if heading.level == 2]
        return parts if len(parts) <= MAX_CONTENTS else []


@dataclass(frozen=True, slots=True)
class Code:
    """A block of code. `id` is its own on the page."""

    id: str
    language: str
    text: str

    @property
    def label(self) -> str:
        return LANGUAGES[self.language]

    @property
    def html(self) -> SafeString:
        return highlighted(self.text, self.language)


def document(text: str, link: Callable[[str], str]) -> Document:
    """The page that `text` is. `link` gives the address of another page by its file's name."""
    tokens = _markdown.parse(text)
    title, lead, rest = tokens[1].content, tokens[3:6], tokens[6:]
    if [token.type for token in (tokens[0], tokens[3])] != ["heading_open", "paragraph_open"]:
        raise ValueError("A page begins with its title and a paragraph.")
    _link(tokens, link)
    headings = tuple(_headings(rest))
    _decorate(rest, headings)
    return Document(title, _html(lead[1:2]), mark_safe("".join(_blocks(rest))), headings)  # noqa: S308


def codes(text: str) -> list[Code]:
    """The blocks of code in `text`."""
    fences = [token for token in _markdown.parse(text) if token.type == "fence"]
    return [_code(token, number) for number, token in enumerate(fences)]


def highlighted(code: str, language: str) -> SafeString:
    """`code` in few colours: keywords, texts and comments."""
    parts = (
        (_class(kind), text) for kind, text in _lexer(language).get_tokens(code.removesuffix("\n"))
    )
    merged = ((name, "".join(t for _, t in group)) for name, group in groupby(parts, _first))
    html = "".join(
        format_html('<span class="{}">{}</span>', name, text) if name else escape(text)
        for name, text in merged
    )
    return mark_safe(html.rstrip("\n"))  # noqa: S308 - escaped above


def _first(pair: tuple[str, str]) -> str:
    return pair[0]


@cache
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False)


def _class(kind: TokenType) -> str:
    return next((name for parent, name in _CLASSES if parent in kind.split()), "")


def slug(text: str) -> str:
    """The anchor of a heading: `/v1/chat/completions` is `v1-chat-completions`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    """The headings in their order; what comes twice gets a number."""
    seen = Counter[str]()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or ())
            seen[slug(text)] += 1
            id_ = slug(text) + (f"-{count}" if (count := seen[slug(text)]) > 1 else "")
            yield Heading(id_, text, int(opening.tag[1]))


def _decorate(tokens: Sequence[Token], headings: Sequence[Heading]) -> None:
    """Give tokens the classes of our pages, and headings their ids."""
    ids = iter(headings)
    for token in tokens:
        if name := _ATTRIBUTES.get(token.type, {}).get(token.tag):
            token.attrSet("class", name)
        if token.type == "heading_open":
            token.attrSet("id", next(ids).id)


def _link(tokens: Sequence[Token], link: Callable[[str], str]) -> None:
    """Underline links, and turn those to files beside this one into those of pages."""
    children = (child for token in tokens for child in token.children or ())
    for child in children:
        if child.type == "link_open":
            child.attrSet("class", "text-decoration-underline")
            if found := re.fullmatch(r"([\w-]+)\.md(#[\w-]+)?", str(child.attrs["href"])):
                child.attrSet("href", link(found[1]) + (found[2] or ""))


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    """HTML, block by block."""
    number, heading, tables = 0, "", Counter[str]()
    for is_code, group in groupby(tokens, lambda token: token.type == "fence"):
        found = list(group)
        if is_code:
            blocks = [_code(token, number + at) for at, token in enumerate(found)]
            number += len(blocks)
            yield render_to_string("console/docs/_code.html", {"codes": blocks, "group": number})
            continue
        for part in _parts(found):
            if part[0].type == "heading_open":
                heading = part[1].content.strip("`")
            yield _part(part, heading, tables)


def _code(token: Token, number: int) -> Code:
    return Code(f"code-{number}", token.info, token.content.removesuffix("\n"))


def _parts(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Blocks of the highest level, each from its opening to its closing token."""
    part: list[Token] = []
    for token in tokens:
        part.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield part
            part = []


def _part(part: list[Token], heading: str, tables: Counter[str]) -> str:
    html = _html(part)
    match part[0].type:
        case "table_open":
            tables[heading] += 1
            count = f" {tables[heading]}" if tables[heading] > 1 else ""
            return format_html(
                '<div class="card tw" tabindex="0" role="region" aria-label="{}">{}</div>',
                f"{heading or 'Table'}{count}",
                html,
            )
        case "blockquote_open":
            return format_html(
                '<div class="notice" role="note"><div>{}</div></div>', _html(part[2:3])
            )
        case "heading_open":
            id_ = part[0].attrs["id"]
            inner = format_html(
                '<a class="text-reset text-break" href="#{}">{}</a>', id_, _html(part[1:2])
            )
            return _html(part[:1]) + inner + _html(part[2:])
    return html


def _html(tokens: Sequence[Token]) -> SafeString:
    html = str(_markdown.renderer.render(tokens, _markdown.options, {}))
    return mark_safe(html)  # noqa: S308 - no HTML of a text passes the parser
