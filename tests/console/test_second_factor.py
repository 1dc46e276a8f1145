"""Second factors: set up, asked for, and demanded of those whose role matters."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client, override_settings

from tenants.models import AuditEntry, Role, User
from tests.conftest import PASSWORD, Cast
from tests.console.log_in import log_in_freshly

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("commits_at_once")]
demanded = override_settings(MFA_REQUIRED=True)


def code_of(secret: str) -> str:
    """What an authenticator app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time() // 30))))


def app_of(user: User) -> str:
    """The secret of an app that `user` has set up."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return str(secret)


def password_typed(user: User) -> Client:
    client = Client()
    client.post("/account/login/", {"login": user.email, "password": PASSWORD})
    return client


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_an_app_is_set_up_and_then_asked_for(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.max)
    secret = client.get("/account/2fa/totp/activate/").context["form"].secret
    codes = client.post("/account/2fa/totp/activate/", {"code": code_of(secret)}, follow=True)

    assert "They are shown this once" in codes.text
    assert "They were shown once" in client.get("/account/2fa/recovery-codes/").text
    assert AuditEntry.objects.filter(action="mfa.add", actor=cast.max).count() == 1
    other = password_typed(cast.max)
    assert not is_in(other)
    other.post("/account/2fa/authenticate/", {"code": "000000"})
    assert not is_in(other)
    other.post("/account/2fa/authenticate/", {"code": code_of(secret)})
    assert is_in(other)


def test_a_recovery_code_logs_in_once(cast: Cast) -> None:
    app_of(cast.max)
    code = RecoveryCodes.activate(cast.max).get_unused_codes()[0]

    first, second = password_typed(cast.max), password_typed(cast.max)
    first.post("/account/2fa/authenticate/", {"code": code})
    second.post("/account/2fa/authenticate/", {"code": code})

    assert is_in(first)
    assert not is_in(second)


def test_the_secret_of_an_app_is_sealed(cast: Cast) -> None:
    secret = app_of(cast.max)

    assert secret not in str(Authenticator.objects.get(user=cast.max).data)


def test_who_has_a_second_factor_is_not_asked_for_the_password_alone(cast: Cast) -> None:
    secret = app_of(cast.max)
    client = log_in_freshly(Client(), cast.max, age_s=310)

    asked = client.get("/account/2fa/totp/deactivate/")

    assert asked["Location"].startswith("/account/2fa/reauthenticate/")
    assert client.get("/account/reauthenticate/").status_code == 302
    client.post(asked["Location"], {"code": code_of(secret)})
    assert client.get("/account/2fa/totp/deactivate/").status_code == 200


@demanded
@pytest.mark.parametrize("page", ["/operator/", "/operator/backends/", "/admin/"])
def test_an_operator_without_one_is_led_to_it(cast: Cast, page: str) -> None:
    client = log_in_freshly(Client(), cast.oskar)

    led = client.get(page, follow=True)
    assert led.redirect_chain[-1][0] == "/account/2fa/"
    assert "Your role asks for a second factor" in led.text

    app_of(cast.oskar)
    assert client.get(page).status_code == 200


@demanded
@pytest.mark.parametrize("role", Role)
def test_owners_and_billing_without_one_are_led_to_it(cast: Cast, role: Role) -> None:
    cast.max.memberships.update(role=role)
    client = log_in_freshly(Client(), cast.max)

    answer = client.get("/o/acme/usage/")

    assert answer.status_code == (302 if role in {Role.OWNER, Role.BILLING} else 200)


def test_an_organization_can_ask_everyone_for_one(cast: Cast) -> None:
    client = log_in_freshly(Client(), cast.max)
    assert client.get("/o/acme/usage/").status_code == 200

    cast.acme.requires_second_factor = True
    cast.acme.save()

    assert client.get("/o/acme/usage/")["Location"] == "/account/2fa/"
    app_of(cast.max)
    assert client.get("/o/acme/usage/").status_code == 200


def test_codes_are_guessed_a_few_times_only(cast: Cast) -> None:
    secret = app_of(cast.max)
    client = password_typed(cast.max)
    for guess in range(5):
        client.post("/account/2fa/authenticate/", {"code": f"00000{guess}"})

    answer = client.post("/account/2fa/authenticate/", {"code": code_of(secret)})

    assert not is_in(client)
    assert "Too many tries" in answer.text
