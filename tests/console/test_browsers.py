"""A log-in is listed under the name that a person knows the browser by."""

from __future__ import annotations

import pytest

from console.browsers import browser_of

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"{MAC} Version/18.5 Safari/605.1.15", "Safari, macOS"),
        (f"{MAC} Chrome/140.0.0.0 Safari/537.36", "Chrome, macOS"),
        (f"{WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge, Windows"),
        (f"{PHONE} CriOS/140.0 Mobile/15E148 Safari/604.1", "Chrome, iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/144.0", "Firefox, Linux"),
        ("curl/8.5.0", "curl/8.5.0"), ("", "–"),
    ],
)  # fmt: skip
def test_a_browser_is_called_by_its_name_and_its_system(agent: str, name: str) -> None:
    assert browser_of(agent) == name


def test_what_an_unknown_one_tells_is_cut_short() -> None:
    assert browser_of("x" * 500) == "x" * 40
