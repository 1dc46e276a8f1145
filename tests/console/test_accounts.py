"""Signing up, logging in and out, and what a person changes of their own account."""

from __future__ import annotations

import re
from hashlib import sha1
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import EmailMultiAlternatives
from django.test import Client, override_settings

from console.passwords import is_listed
from tenants import services
from tenants.invitations import token_mint
from tenants.models import AuditEntry, PlatformPolicy, Role, User
from tests.conftest import PASSWORD, Cast
from tests.console.log_in import log_in_freshly

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("commits_at_once")]
NEW = {"name": "Nina Ny", "email": "nina@new.test", "password1": "a quiet harbour town"}

type Mails = list[EmailMultiAlternatives]


@pytest.fixture
def open_house() -> None:
    PlatformPolicy.objects.create(sign_up_is_open=True)


def code_in(mail: EmailMultiAlternatives) -> str:
    found = re.search(r"^([A-Z0-9-]{6,9})$", str(mail.body), re.MULTILINE)
    assert found, mail.body
    return found[1]


def log_in(client: Client, email: str, password: str = PASSWORD, **where: str) -> bool:
    """Whether e-mail address and password open a session."""
    client.post("/account/login/", {"login": email, "password": password}, **where)  # type: ignore[arg-type]
    return "_auth_user_id" in client.session


def test_a_person_signs_up_with_the_code_of_a_mail(
    client: Client, open_house: None, mailoutbox: Mails
) -> None:
    asked = client.post("/account/signup/", NEW, follow=True)
    assert "Type the code" in asked.text
    assert "/mailbox/" not in asked.text
    assert "_auth_user_id" not in client.session

    client.post("/account/confirm-email/", {"code": "WRONG1"})
    assert "_auth_user_id" not in client.session
    client.post("/account/confirm-email/", {"code": code_in(mailoutbox[0])})

    user = User.objects.get(email="nina@new.test")
    assert client.session["_auth_user_id"] == str(user.pk)
    assert user.name == "Nina Ny"
    assert EmailAddress.objects.get(user=user).verified
    assert AuditEntry.objects.filter(action="session.start", actor=user).exists()


def test_nobody_signs_up_where_it_is_closed(client: Client, cast: Cast) -> None:
    for path in ("/account/signup/", "/account/signup/passkey/"):
        assert "Sign-up is closed" in client.get(path).text
        assert "Sign-up is closed" in client.post(path, NEW).text
    assert not User.objects.filter(email="nina@new.test").exists()
    assert "signup" not in client.get("/account/login/").text


def test_an_invited_person_signs_up_where_it_is_closed(cast: Cast, mailoutbox: Mails) -> None:
    client = Client()
    invitation = services.invitation_create(
        actor=cast.olivia, organization=cast.acme, email=NEW["email"], role=Role.AUDITOR
    )
    page = f"/invitations/{token_mint(invitation.pk, invitation.serial)}/"
    client.get(page)

    other = client.post("/account/signup/", NEW | {"email": "other@new.test"})
    invited = client.post(f"/account/signup/?next={page}", NEW, follow=True)

    assert "Sign-up is closed, but for nina@new.test." in other.text
    assert invited.redirect_chain[-1][0] == page
    client.post(page)
    assert cast.acme.memberships.get(user__email="nina@new.test").role == Role.AUDITOR


def test_an_administrator_opens_and_closes_sign_up(cast: Cast) -> None:
    oskar = log_in_freshly(Client(), cast.oskar)
    asked = []
    for is_open in ("1", "0"):
        oskar.post("/operator/organizations/waiting/sign-up/", {"is_open": is_open})
        asked.append("Sign-up is closed" in Client().get("/account/signup/").text)

    assert asked == [False, True]
    assert AuditEntry.objects.filter(action="platform.set_sign_up").count() == 2


def test_an_address_that_has_an_account_is_answered_like_a_new_one(
    cast: Cast, open_house: None, mailoutbox: Mails
) -> None:
    new, known = Client(), Client()
    taken = NEW | {"email": "Olivia@acme.test"}

    one, other = new.post("/account/signup/", NEW), known.post("/account/signup/", taken)

    assert (one.status_code, one["Location"]) == (other.status_code, other["Location"])
    pages = [client.get(one["Location"]).text for client in (new, known)]
    assert pages[0].count("<input") == pages[1].count("<input")
    assert mailoutbox[1].subject == "You have an account at Sluice already"
    assert User.objects.filter(email__iexact="olivia@acme.test").count() == 1


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("email", "olivіa@acme.test", "Enter a valid email"),
        ("email", "olivia@xn--acm-epa.test", "alphabets"),
        ("password1", "short", "too short"),
        ("password1", "qwertyuiop123", "too common"),
        ("password1", "nina@new.test", "too similar"),
        ("name", "", "required"),
    ],
)
def test_what_would_be_unsafe_is_refused(
    client: Client, open_house: None, field: str, typed: str, said: str
) -> None:
    page = client.post("/account/signup/", NEW | {field: typed})

    assert said in page.text
    assert not User.objects.filter(name="Nina Ny").exists()


def test_a_stolen_password_is_refused(client: Client, open_house: None, tmp_path: Path) -> None:
    words = [f"stolen password {number}" for number in range(500)]
    file = tmp_path / "pwned.txt"
    digests = sorted(sha1(word.encode()).hexdigest().upper() for word in words)  # noqa: S324
    file.write_text("".join(f"{digest}:{at + 1}\r\n" for at, digest in enumerate(digests)))

    assert all(is_listed(file, word) for word in words)
    assert not any(is_listed(file, f"own password {number}") for number in range(500))
    with override_settings(BREACHED_PASSWORDS_FILE=str(file)):
        page = client.post("/account/signup/", NEW | {"password1": words[7]})
    assert "in a list of stolen ones" in page.text


def test_guesses_from_one_address_are_slowed_and_the_owner_gets_in(cast: Cast) -> None:
    guesser = Client(REMOTE_ADDR="203.0.113.9")
    for guess in range(5):
        assert not log_in(guesser, "olivia@acme.test", f"guess {guess}")

    assert not log_in(guesser, "olivia@acme.test")
    assert log_in(Client(REMOTE_ADDR="198.51.100.4"), "olivia@acme.test")


def test_guesses_from_everywhere_do_not_lock_out_a_browser_that_is_known(cast: Cast) -> None:
    known = Client(REMOTE_ADDR="198.51.100.4")
    assert log_in(known, "olivia@acme.test")
    known.post("/account/logout/")
    for guess in range(20):
        Client(REMOTE_ADDR=f"203.0.113.{guess}").post(
            "/account/login/", {"login": "olivia@acme.test", "password": "guess"}
        )

    assert not log_in(Client(REMOTE_ADDR="198.51.100.5"), "olivia@acme.test")
    assert log_in(known, "olivia@acme.test")


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(cast: Cast) -> None:
    answers = [
        Client().post("/account/login/", {"login": email, "password": "wrong"})
        for email in ("olivia@acme.test", "nobody@acme.test")
    ]

    said = [re.findall(r'class="errorlist.*?</ul>', answer.text, re.DOTALL) for answer in answers]
    assert said[0] == said[1] != []
    failed = AuditEntry.objects.filter(action="session.fail")
    assert [entry.target_id for entry in failed] == ["", str(cast.olivia.pk)]
    assert failed[1].organization == cast.acme


def test_a_changed_password_is_told_and_on_record(
    client: Client, cast: Cast, mailoutbox: Mails
) -> None:
    log_in_freshly(client, cast.olivia)
    chosen = {"oldpassword": PASSWORD, "password1": NEW["password1"], "password2": NEW["password1"]}

    client.post("/account/password/change/", chosen)

    assert log_in(Client(), "olivia@acme.test", NEW["password1"])
    assert mailoutbox[0].subject == "Your password was changed."
    assert "127.0.0.1" in str(mailoutbox[0].body)
    assert AuditEntry.objects.filter(action="account.change_password").count() == 1


def test_a_new_address_counts_once_its_code_is_typed(
    client: Client, cast: Cast, mailoutbox: Mails
) -> None:
    log_in_freshly(client, cast.olivia)

    client.post("/account/email/", {"email": "olivia@new.test", "action_add": ""})
    cast.olivia.refresh_from_db()
    assert cast.olivia.email == "olivia@acme.test"
    client.post("/account/confirm-email/", {"code": code_in(mailoutbox[0])})

    cast.olivia.refresh_from_db()
    assert cast.olivia.email == "olivia@new.test"
    assert ["olivia@acme.test"] in [mail.to for mail in mailoutbox[1:]]


def test_a_person_has_another_name(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia)

    for bad in ("", "Olivia\u202eEk"):
        assert client.post("/account/", {"name": bad}).status_code == 422
    client.post("/account/", {"name": "Olivia Ek Lind"})

    cast.olivia.refresh_from_db()
    assert cast.olivia.name == "Olivia Ek Lind"
    assert AuditEntry.objects.filter(action="account.set_name", actor=cast.olivia).exists()


def test_mails_that_stay_on_this_machine_can_be_read(client: Client, tmp_path: Path) -> None:
    assert client.get("/mailbox/").status_code == 404
    (tmp_path / "1.log").write_bytes(
        b"Subject: One\nTo: a@b.test\n\nhttp://localhost/one\n" + b"-" * 79 + b"\n"
    )

    with override_settings(MAIL_FOLDER=str(tmp_path)):
        page = client.get("/mailbox/").text
        asked = client.get("/account/password/reset/done/").text

    assert 'href="http://localhost/one"' in page
    assert "a@b.test" in page
    assert 'href="/mailbox/"' in asked
