"""Whoever copies a snippet from the page of a model gets an answer."""

from __future__ import annotations

import re

import pytest
from django.test import override_settings

from console.markdown import Code
from console.snippets import SNIPPETS, Snippet
from inference.gateway.endpoints import ENDPOINTS
from inference.models import Task
from tests.inference.gateway.conftest import Running
from tests.inference.gateway.test_docs import CALLABLE, desk, run  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("desk")]

DEPRECATED = "ignore:deprecated:DeprecationWarning"
"""What the SDK says of translations; nothing in it has their place."""


@pytest.mark.filterwarnings(DEPRECATED)
@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.path)
@pytest.mark.parametrize("language", ["python", "bash"])
def test_a_snippet_of_a_model_works(
    snippet: Snippet,
    language: str,
    gateway: Running,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with override_settings(GATEWAY_URL=f"{gateway.url}/v1"):
        filled = snippet.filled(CALLABLE[snippet.task])

    run(Code(snippet.slug, language, filled.python if language == "python" else filled.curl))

    assert capfd.readouterr().out.strip()


def test_every_task_has_a_snippet_and_every_snippet_a_path() -> None:
    assert {snippet.task for snippet in SNIPPETS} == set(Task)
    assert {snippet.path: snippet.task for snippet in SNIPPETS}.items() <= {
        path: endpoint.task for path, endpoint in ENDPOINTS.items()
    }.items()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.path)
def test_nothing_is_left_to_fill_in(snippet: Snippet) -> None:
    texts = snippet.filled("acme/tiny").texts
    for _key, language, text in texts:
        assert '"acme/tiny"' in text or "=acme/tiny " in text, language
        assert not {"BASE", "HOST", "MODEL"} & set(re.findall("[A-Z]+", text)), language
