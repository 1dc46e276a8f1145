"""The documentation for customers: what its pages say, link to and fill in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest
from django.conf import settings
from django.test import Client

from console import guides, markdown
from console.guides import SLUGS
from console.guides import guides as all_guides
from inference import control
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.openapi import errors_of, openapi_document
from inference.models import Model, Region, Task
from tests.conftest import Cast

pytestmark = pytest.mark.django_db

GATEWAY: Final = Path(settings.BASE_DIR) / "inference"


def offered(public_id: str, region: Region, *tasks: Task) -> Model:
    """A model that customers may call; it costs nothing, and nobody answers for it."""
    model = control.model_create(
        actor=None, public_id=public_id, name=public_id, tasks=tasks, context_tokens=2048,
        owned_by="Acme",
    )  # fmt: skip
    Model.objects.filter(pk=model.pk).update(is_enabled=True)
    return model


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_is_there_for_anyone(slug: str, client: Client) -> None:
    answer = client.get(f"/docs/{slug}/")

    assert answer.status_code == 200
    assert f"<h1>{all_guides()[slug].title}</h1>" in answer.text
    assert "{{" not in answer.text


def test_the_documentation_begins_with_its_first_page(client: Client, cast: Cast) -> None:
    assert client.get("/docs/").headers["location"] == "/docs/quickstart/"
    client.force_login(cast.max)
    assert client.get("/o/acme/docs/").headers["location"] == "/o/acme/docs/quickstart/"


def test_a_page_that_is_not_there_is_a_404(client: Client) -> None:
    assert client.get("/docs/nothing/").status_code == 404
    assert client.get("/docs/nothing.md").status_code == 404


def test_every_link_between_pages_leads_to_a_heading(client: Client) -> None:
    pages = {slug: client.get(f"/docs/{slug}/").text for slug in SLUGS}
    ids = {slug: set(re.findall(r'\bid="([^"]+)"', text)) for slug, text in pages.items()}

    for slug, text in pages.items():
        for target, anchor in re.findall(r'href="/docs/([\w-]+)/(?:#([\w-]+))?"', text):
            assert target in ids, f"{slug} links to {target}"
            assert not anchor or anchor in ids[target], f"{slug} links to {target}#{anchor}"
        for anchor in re.findall(r'href="#([\w-]+)"', text):
            assert anchor in ids[slug], f"{slug} links to #{anchor}"


@pytest.mark.parametrize("slug", SLUGS)
def test_no_two_elements_of_a_page_share_an_id(slug: str, client: Client) -> None:
    found = re.findall(r'\bid="([^"]+)"', client.get(f"/docs/{slug}/").text)

    assert len(found) == len(set(found))


def test_snippets_name_this_gateway_and_a_model_that_the_reader_may_call(
    client: Client, cast: Cast, region: Region
) -> None:
    model = offered("acme/secret", region, Task.CHAT)
    Model.objects.filter(pk=model.pk).update(is_public=False)
    model.visible_to.add(cast.acme)

    public = client.get("/docs/quickstart/").text
    client.force_login(cast.max)
    own = client.get("/o/acme/docs/quickstart/").text

    assert settings.GATEWAY_URL in public
    assert "acme/secret" not in public
    assert "your-chat-model" in public
    assert "acme/secret" in own
    assert "your-chat-model" not in own


def test_a_page_says_when_no_model_does_what_it_is_about(
    client: Client, region: Region, cast: Cast
) -> None:
    assert "No model here does all of this" in client.get("/docs/embeddings/").text

    offered("acme/embed", region, Task.EMBEDDING, Task.RERANK)

    assert "No model here does all of this" not in client.get("/docs/embeddings/").text


def test_the_menu_of_a_member_leads_to_the_pages_within_the_console(
    client: Client, cast: Cast
) -> None:
    client.force_login(cast.max)

    page = client.get("/o/acme/docs/errors/").text

    assert 'href="/o/acme/docs/limits/"' in page
    assert 'href="/docs/limits/"' not in page
    assert 'href="/o/acme/keys/"' in page


def test_machines_get_markdown_a_list_of_pages_and_the_document(client: Client) -> None:
    listed = client.get("/llms.txt")
    assert listed.headers["content-type"].startswith("text/plain")
    addresses = re.findall(r"\(http://[^/]+(/docs/[\w-]+\.md)\)", listed.text)
    assert addresses == [f"/docs/{slug}.md" for slug in SLUGS]
    for address in addresses:
        page = client.get(address)
        assert page.headers["content-type"] == "text/markdown; charset=utf-8"
        assert page.text.startswith("# ")
    assert client.get("/openapi.json").json() == msgspec.to_builtins(openapi_document())


def test_the_reference_has_every_path_and_every_field_of_the_table(client: Client) -> None:
    page = all_guides()["endpoints"].source
    sections = {part.partition("\n")[0]: part for part in page.split("\n## ")}

    for path, row in ENDPOINTS.items():
        section = sections[f"/v1/{path}"]
        assert row.summary in section
        for name in openapi_document()["components"]["schemas"][row.body.__name__]["properties"]:
            assert f"| `{name}`" in section, path


def test_every_struct_that_a_field_is_made_of_is_explained() -> None:
    told = set(re.findall(r"^## (\w+)$", all_guides()["objects"].source, re.MULTILINE))
    bodies = {row.body.__name__ for row in ENDPOINTS.values()}

    assert told == set(openapi_document()["components"]["schemas"]) - bodies


def test_every_error_is_on_the_page_about_errors() -> None:
    page = all_guides()["errors"].source
    text = "".join(path.read_text() for path in GATEWAY.rglob("*.py"))
    codes = set(re.findall(r'\bcode="([a-z_]+)"', text)) | {e.code for e in errors_of() if e.code}

    assert codes
    assert {code for code in codes if f"`{code}`" not in page} == set()
    for error in errors_of():
        code = f"`{error.code}`" if error.code else ""
        assert not code or f"| {error.status} | {code} |" in page, error


def test_every_limit_of_the_settings_is_filled_in() -> None:
    values = guides.settings_values()

    assert values["max_body"] == "4\u2009MB"
    assert values["max_pixels"] == "36\u2009000\u2009000"
    assert values["total_timeout"] == "15\u2009min"


def test_nothing_of_a_text_becomes_an_element() -> None:
    shown = markdown.document(
        '# Title\n\nLead.\n\n<script>alert(1)</script>\n\n```python\n"</pre><b>"\n```\n', str
    )

    assert "<script" not in shown.html
    assert "<b>" not in shown.html
    assert "&lt;/pre&gt;" in shown.html


def test_long_names_may_break_but_are_escaped() -> None:
    shown = markdown.document("# T\n\nLead.\n\nSet `max_<b>`.\n", str)

    assert "<code>max_<wbr>&lt;b&gt;</code>" in shown.html


def test_headings_of_the_same_words_have_anchors_of_their_own() -> None:
    shown = markdown.document("# T\n\nLead.\n\n## Errors\n\n## Errors\n", str)

    assert [heading.id for heading in shown.headings] == ["errors", "errors-2"]


def test_a_page_without_a_title_and_a_lead_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with its title"):
        markdown.document("Text.\n\n# Late\n\nMore.\n", str)
