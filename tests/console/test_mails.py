"""A mail is written once, and reaches its people as text and as HTML, after the act it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.test import override_settings
from kombu.exceptions import OperationalError

from console import mails
from console.mails import mail_send, mail_write

pytestmark = pytest.mark.django_db
INVITED = """{% partialdef subject %}{{ name }}
 invites you{% endpartialdef %}
{% partialdef body %}{{ name }} wants
you in <Acme>.

Come soon.{% endpartialdef %}
{% partialdef action %}Come in{% endpartialdef %}
{% partialdef why %}You get this because {{ name }} typed {{ email }}.{% endpartialdef %}
"""


@pytest.fixture(autouse=True)
def _a_mail(tmp_path: Path) -> Iterator[None]:
    """A folder of templates with one mail more."""
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails/invited.txt").write_text(INVITED)
    more = settings.TEMPLATES[0] | {"DIRS": [tmp_path, settings.BASE_DIR / "console/templates"]}
    with override_settings(TEMPLATES=[more]):
        yield


def test_a_mail_says_the_same_as_text_and_as_html() -> None:
    mail = mail_write("invited", to="a@b.test", url="/o/acme/", context={"name": "O'Neill & Co"})

    assert mail.subject == "O'Neill & Co invites you"
    assert mail.text == (
        "O'Neill & Co wants you in <Acme>.\n\nCome soon.\n\n"
        "Come in:\nhttp://localhost:8000/o/acme/\n\n"
        "You get this because O'Neill & Co typed a@b.test.\nSluice\n"
    )
    assert "O&#x27;Neill &amp; Co wants you in &lt;Acme&gt;.</p>" in mail.html
    assert 'href="http://localhost:8000/o/acme/"' in mail.html


def test_each_person_gets_a_mail_of_their_own(
    mailoutbox: list[EmailMultiAlternatives], django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        mail_send("invited", to=["a@b.test", "c@d.test"], name="Olivia")
        assert mailoutbox == []

    assert [mail.to for mail in mailoutbox] == [["a@b.test"], ["c@d.test"]]
    assert "Come in" not in mailoutbox[0].body
    assert mailoutbox[0].alternatives[0][1] == "text/html"


def test_an_act_that_came_to_nothing_tells_nobody(
    mailoutbox: list[EmailMultiAlternatives], django_capture_on_commit_callbacks: object
) -> None:
    @transaction.atomic
    def act() -> None:
        mail_send("invited", to=["a@b.test"], name="Olivia")
        raise ValueError("no")

    with (
        django_capture_on_commit_callbacks(execute=True),  # type: ignore[operator]
        pytest.raises(ValueError, match="no"),
    ):
        act()

    assert mailoutbox == []


def test_a_mail_on_its_way_cannot_be_read() -> None:
    mail = mail_write("invited", to="a@b.test", url="/reset/secret/", context={"name": "Olivia"})

    assert "secret" not in mails.sealed(mail)
    assert mails.unsealed(mails.sealed(mail)) == mail


def test_a_mail_leaves_without_the_worker_when_there_is_none(
    mailoutbox: list[EmailMultiAlternatives],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: object,
) -> None:
    def gone(*args: object, **options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(mails.mail_deliver, "apply_async", gone)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        mail_send("invited", to=["a@b.test"], name="Olivia")

    assert [mail.to for mail in mailoutbox] == [["a@b.test"]]
