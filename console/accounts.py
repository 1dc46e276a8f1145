"""How allauth fits Sluice: its mails are ours, its acts are on record, its secrets are sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, override

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.stagekit import clear_login
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from console import log_in_limits, sessions
from console.http import client_address
from console.mails import mail_send
from console.sign_up import invited_address, sign_up_is_open
from console.step_up import is_fresh, way_to_provider
from tenants import audit, services, tenancy
from tenants.emails import email_clean
from tenants.models import User
from tenants.sealing import seal, unseal

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Note(NamedTuple):
    """What an act on an account is on record as, and what its person is told of it."""

    action: str
    said: StrPromise


NOTES: Final = {
    "account/email/email_changed": Note("account.change_email", _("Your e-mail address changed.")),
    "account/email/email_confirm": Note("account.confirm_email", _("An address was confirmed.")),
    "account/email/email_deleted": Note("account.remove_email", _("An address was removed.")),
    "account/email/password_changed": Note(
        "account.change_password", _("Your password was changed.")
    ),
    "account/email/password_reset": Note(
        "account.reset_password", _("Your password was reset by a mail to you.")
    ),
    "account/email/password_set": Note("account.set_password", _("A password was set.")),
    "mfa/email/recovery_codes_generated": Note(
        "mfa.recovery_codes", _("New recovery codes were made; the old ones are void.")
    ),
    "mfa/email/totp_activated": Note("mfa.add", _("An authenticator app was added.")),
    "mfa/email/totp_deactivated": Note("mfa.remove", _("Your authenticator app was removed.")),
    "mfa/email/webauthn_added": Note("mfa.add", _("A passkey was added.")),
    "mfa/email/webauthn_removed": Note("mfa.remove", _("A passkey was removed.")),
    "socialaccount/email/account_connected": Note(
        "sso.link", _("Your account can now be opened through your organization’s provider.")
    ),
    "socialaccount/email/account_disconnected": Note(
        "sso.unlink", _("Your account is no longer opened through your organization’s provider.")
    ),
}

STRONG: Final = ("mfa_reauthenticate:webauthn", "mfa_reauthenticate")


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "email_password_mismatch": _("No account has this e-mail address and this password."),
        "incorrect_code": _("This is not the code, or no longer."),
        "incorrect_password": _("This is not your password."),
        "too_many_login_attempts": _(
            "Too many tries, so this one did not count. Wait a few minutes, or use a passkey."
        ),
    }

    @override
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """To whoever opened the link of an invitation it is open for that address."""
        return sign_up_is_open() or bool(invited_address(request))

    @override
    def clean_email(self, email: str) -> str:
        return email_clean(email)

    @override
    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    @override
    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        if not log_in_limits.may_try(request, credentials.get("email", "")):
            raise self.validation_error("too_many_login_attempts")
        super().pre_authenticate(request, **credentials)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """One address that fails is slowed down, not its account everywhere."""
        return f"{credentials.get('email', '').lower()} {self.get_client_ip(request)}"

    @override
    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        user = User.objects.filter(email__iexact=credentials.get("email", "")).first()
        with transaction.atomic():
            if user:
                audit.record_of_person(actor=None, action="session.fail", person=user)
            else:  # nothing of what was typed: it may be a password
                audit.record(actor=None, action="session.fail", target=None)

    @override
    def pre_login(self, request: HttpRequest, user: User, **facts: Any) -> HttpResponse | None:
        """Who must come through their organization's provider is sent there."""
        records = get_authentication_records(request, user)
        came_by = records[-1]["method"] if records else ""
        if came_by != "socialaccount" and services.sso_demanded_of(user):
            clear_login(request)
            messages.info(request, _("Your organization logs in through its own provider."))
            return redirect(f"{reverse('sso_start')}?{urlencode({'email': user.email})}")
        answer: HttpResponse | None = super().pre_login(request, user, **facts)
        return answer

    @override
    def login(self, request: HttpRequest, user: User) -> None:
        super().login(request, user)
        tenancy.recognize(user.pk)
        if not get_authentication_records(request, user):
            record_authentication(request, user, method="sign_up")  # allauth does not count it
        sessions.begin(request.session)
        with transaction.atomic():
            audit.record_of_person(actor=user, action="session.start", person=user)

    @override
    def post_login(self, request: HttpRequest, user: User, **facts: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **facts)
        log_in_limits.known_here(request, response, user.email)
        return response

    @override
    def logout(self, request: HttpRequest) -> None:
        if isinstance(request.user, User):
            with transaction.atomic():
                audit.record_of_person(
                    actor=request.user, action="session.end", person=request.user
                )
        super().logout(request)

    @override
    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """allauth's own pages follow the rule of ours: a log-in counts as well."""
        if is_fresh(self.request):
            return False
        if not self.get_reauthentication_methods(self.request.user):
            raise ImmediateHttpResponse(redirect(way_to_provider(self.request)))
        return True

    @override
    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """Who has a second factor shows it: a password alone would undo what it is for."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        strong = [method for method in methods if method["id"] in STRONG]
        return sorted(strong, key=lambda method: STRONG.index(method["id"])) or methods

    @override
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """`account/email/password_reset_key` is our `mails/account/password_reset_key.txt`."""
        name = template_prefix.replace("/email/", "/")
        url = context.get("password_reset_url", "")
        mail_send(name, to=[email], url=url, code=context.get("code", ""))

    @override
    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Put on record what was changed, and tell its person, at the old address if need be."""
        note = NOTES[template_prefix]
        if note.action == "account.reset_password":
            _proven_by_mail(user)
        with transaction.atomic():
            what = template_prefix.rpartition("/")[2]
            audit.record_of_person(actor=user, action=note.action, person=user, what=what)
            mail_send(
                "account/noted",
                to=[email or user.email],
                url=reverse("usersessions_list"),
                said=note.said,
                at=timezone.now(),
                address=self.get_client_ip(self.request),
                browser=self.get_http_user_agent(self.request)[:200],
            )


def _proven_by_mail(user: User) -> None:
    """Who followed the link of a reset has read a mail to their only address."""
    addresses = EmailAddress.objects.filter(user=user)
    if addresses.count() == 1:
        addresses.filter(email=user.email).update(verified=True, primary=True)


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("This is not the code, or no longer."),
    }

    @override
    def encrypt(self, text: str) -> str:
        return seal(text).decode()

    @override
    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text.encode())

    @override
    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return str(_("Passkey")) if number == 1 else f"{_('Passkey')} {number}"

    @override
    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        entity: dict[str, str] = super().get_public_key_credential_rp_entity()
        return entity | {"name": settings.SITE_NAME}


class SessionsAdapter(DefaultUserSessionsAdapter):
    @override
    def end_sessions(self, sessions: list[UserSession]) -> None:
        with transaction.atomic():
            for session in sessions:
                audit.record_of_person(
                    actor=self.request.user, action="session.end", person=session.user,
                    session=session.pk,
                )  # fmt: skip
                session.end()
