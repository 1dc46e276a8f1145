"""The forms about organizations, their people and projects, and the operator's staff."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final, cast, override

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from tenants import tenancy
from tenants.emails import email_clean
from tenants.models import Membership, Organization, Role, StaffRole

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

RESERVED: Final = frozenset({"add", "waiting"})
"""Short names that would be addresses of the operator's pages."""
MAX_SLUG: Final = 50
NAME: Final = _("Name")
EMAIL: Final = _("E-mail")
QUIET: Final = {"autocomplete": "off"}


def line_check(text: str) -> None:
    """ValidationError for signs that nobody sees, or that turn the text around."""
    if any(unicodedata.category(char).startswith("C") for char in text):
        raise ValidationError(_("One line of plain text, without hidden signs."))


class NameField(forms.CharField):
    """What people call something, or why: one line, with nothing hidden in it."""

    def __init__(self, label: StrOrPromise = NAME, max_length: int = 100, **kwargs: Any) -> None:
        super().__init__(label=label, max_length=max_length, validators=[line_check], **kwargs)
        self.widget.attrs |= QUIET


class EmailField(forms.CharField):
    """An e-mail address that cannot pass for another one."""

    def __init__(self, label: StrOrPromise = EMAIL) -> None:
        widget = forms.EmailInput(attrs=QUIET)
        super().__init__(label=label, max_length=254, widget=widget)

    @override
    def clean(self, value: Any) -> str:
        return email_clean(super().clean(value))


class NewOrganizationForm(forms.Form):
    """A customer's own organization. A short name that is left out is made from the name."""

    name = NameField()
    slug = forms.CharField(
        label=_("Short name"),
        max_length=MAX_SLUG,
        required=False,
        help_text=_("In addresses: /o/vinter-bank/. Empty: made from the name. It stays for good."),
        widget=forms.TextInput(attrs=QUIET),
    )

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        if "slug" in self.cleaned_data and "name" in self.cleaned_data:
            typed = self.cleaned_data["slug"]
            wanted = slugify(typed or self.cleaned_data["name"])[:MAX_SLUG]
            if typed and typed.lower() != wanted:
                self.add_error("slug", _("Letters, digits and hyphens: vinter-bank."))
            elif not wanted:
                self.add_error("slug", _("Type one: the name has no letters to make it from."))
            else:
                self._take(wanted, was_typed=bool(typed))
        return self.cleaned_data

    def _take(self, wanted: str, *, was_typed: bool) -> None:
        """`wanted` where it is free; else what is free is proposed, or taken."""
        free = slug_free(wanted)
        if was_typed and free != wanted:
            taken = _("This short name is taken. %(free)s is free.") % {"free": free}
            self.add_error("slug", taken)
        else:
            self.cleaned_data["slug"] = free


def slug_free(wanted: str) -> str:
    """`wanted`, or with the first number after it that makes it free."""
    alike = Organization.objects.filter(slug__startswith=wanted[: MAX_SLUG - 5])
    with tenancy.everything("a short name is taken, whoever has it"):
        taken = set(alike.values_list("slug", flat=True))
    found, count = wanted, 1
    while found in taken or found in RESERVED:
        count += 1
        found = f"{wanted[: MAX_SLUG - len(str(count)) - 1]}-{count}"
    return found


class NameForm(forms.Form):
    """What a project, a service account or an organization is called."""

    name = NameField()


class ReasonForm(forms.Form):
    """Why, in words that those it is about read."""

    reason = NameField(_("Reason"), max_length=500)


class ConfirmForm(forms.Form):
    """The name of what goes, typed."""

    name = NameField(_("Type its name to confirm"))

    def __init__(self, expected: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.expected:
            raise ValidationError(
                _("This is not its name: type “%(name)s”.") % {"name": self.expected}
            )
        return name


class DeleteForm(ConfirmForm):
    """Of an organization, by the operator: its name, and why."""

    reason = NameField(_("Reason"), max_length=500)


class RoleForm(forms.Form):
    """A role; that of an owner only where an owner chooses."""

    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)

    def __init__(self, actor: Membership, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_owner = actor.role == Role.OWNER
        field = cast("forms.ChoiceField", self.fields["role"])
        field.choices = [
            (role, ROLE_WORDS[role]) for role in Role if is_owner or role != Role.OWNER
        ]

    @property
    def chosen(self) -> Role:
        return Role(self.cleaned_data["role"])


ROLE_WORDS: Final = {
    Role.OWNER: _("Owner: everything, and who else is an owner"),
    Role.ADMIN: _("Admin: people, projects, keys and limits"),
    Role.DEVELOPER: _("Developer: keys and the playground"),
    Role.BILLING: _("Billing: budgets and everything about money"),
    Role.AUDITOR: _("Auditor: reads everything, the audit trail too"),
}


class InvitationForm(RoleForm):
    """Who is invited, and as what."""

    email = EmailField()
    field_order: Final = ("email", "role")  # type: ignore[misc]  # never changed


class OfferForm(forms.Form):
    """The member who is to own the organization."""

    member = forms.ModelChoiceField(
        label=_("New owner"), queryset=Membership.objects.none(), empty_label=None
    )

    def __init__(self, organization: Organization, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Membership.objects.for_organization(organization).exclude(role=Role.OWNER)
        field = cast("forms.ModelChoiceField[Membership]", self.fields["member"])
        field.queryset = others.select_related("user").order_by("user__email")


class StaffRoleForm(forms.Form):
    """What an operator may do."""

    role = forms.ChoiceField(
        label=_("Role"),
        widget=forms.RadioSelect,
        choices=[
            (StaffRole.ADMINISTRATOR, _("Administrator: everything")),
            (StaffRole.SUPPORT, _("Support: reads everything, and sees pages as a customer does")),
            (StaffRole.FINANCE, _("Finance: reads everything, and changes money")),
        ],
    )

    @property
    def chosen(self) -> StaffRole:
        return StaffRole(self.cleaned_data["role"])


class StaffForm(StaffRoleForm):
    """A new operator."""

    email = EmailField()
    name = NameField()
    field_order: Final = ("email", "name", "role")  # type: ignore[misc]  # never changed


class WaitingRuleForm(forms.Form):
    """Whether new organizations wait for an administrator."""

    approves = forms.BooleanField(required=False)
