"""The forms about API keys and admin keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, cast, override
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.organization_forms import NameField
from inference.models import Model, Task
from tenants.keys import key_is_well_formed
from tenants.models import ApiKey, Organization, Project, ServiceAccount, User
from tenants.peers import networks_read
from tenants.services import LIFETIME, OVERLAP, KeyScope

_BETWEEN: Final = re.compile(r"[\s,;]+")
LIFETIMES: Final = (
    ("7", gettext_lazy("In 7 days")),
    ("30", gettext_lazy("In 30 days")),
    ("90", gettext_lazy("In 90 days")),
    (str(LIFETIME.days), gettext_lazy("In a year")),
    ("on", gettext_lazy("After a day of your choice")),
    ("never", gettext_lazy("Never")),
)
OVERLAPS: Final = (
    ("0", gettext_lazy("Not at all: it leaked")),
    ("1", gettext_lazy("1 hour")),
    ("24", gettext_lazy("24 hours")),
    ("168", gettext_lazy("7 days")),
    ("720", gettext_lazy("30 days")),
)
UNUSED: Final = (
    ("30", gettext_lazy("30 days or more")),
    ("90", gettext_lazy("90 days or more")),
    ("180", gettext_lazy("180 days or more")),
)


class EndForm(forms.Form):
    """When a key ends: after a time, after a day (UTC), or never."""

    expires = forms.ChoiceField(
        label=gettext_lazy("Expires"), choices=LIFETIMES, initial=str(LIFETIME.days)
    )
    expires_on = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=gettext_lazy("Of UTC, if you chose a day."),
    )

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        chosen, day = self.cleaned_data.get("expires"), self.cleaned_data.get("expires_on")
        if chosen == "on" and not self.errors.get("expires_on"):
            if day is None:
                self.add_error("expires_on", _("Choose the last day."))
            elif day < timezone.now().date():
                self.add_error("expires_on", _("This day is over. Choose a later one."))
        return self.cleaned_data

    @property
    def expires_at(self) -> datetime | None:
        chosen = self.cleaned_data["expires"]
        if chosen == "never":
            return None
        if chosen == "on":
            day = self.cleaned_data["expires_on"] + timedelta(days=1)
            return datetime.combine(day, time(), UTC)
        return timezone.now() + timedelta(days=int(chosen))


class ScopeForm(forms.Form):
    """What a key may do. Nothing chosen is everything."""

    tasks = forms.MultipleChoiceField(
        label=gettext_lazy("May do"),
        choices=Task.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all of it."),
    )
    models = forms.MultipleChoiceField(
        label=gettext_lazy("May call"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all models, those to come too."),
    )
    networks = forms.CharField(
        label=gettext_lazy("From networks"),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "203.0.113.0/24"}),
        help_text=gettext_lazy("Addresses or CIDR, of IPv4 or IPv6. Empty: from anywhere."),
    )

    def models_offer(self, organization: Organization, chosen: Iterable[str] = ()) -> None:
        """Its models; those that a key has `chosen` stay a choice when they are gone."""
        offered = Model.objects.enabled().for_organization(organization)
        names = set(offered.values_list("public_id", flat=True)) | set(chosen)
        field = cast("forms.MultipleChoiceField", self.fields["models"])
        field.choices = [(name, name) for name in sorted(names)]

    def clean_networks(self) -> list[str]:
        texts = [text for text in _BETWEEN.split(self.cleaned_data["networks"]) if text]
        return [str(network) for network in networks_read(texts)]

    @property
    def scope(self) -> KeyScope:
        given = self.cleaned_data
        return KeyScope(given["tasks"], given["models"], given["networks"])

    @property
    def is_narrow(self) -> bool:
        """Whether it shows less than everything, or what is wrong with it."""
        names = ("tasks", "models", "networks")
        return any(self[name].value() or self.errors.get(name) for name in names)


class KeyForm(EndForm, ScopeForm):
    """A new API key. Whose it is: `me`, or the id of a service account."""

    name = NameField(
        help_text=gettext_lazy("Says later what the key is for: “search, production”."),
        widget=forms.TextInput(attrs={"data-focus": True}),
    )
    project = forms.ModelChoiceField(
        label=gettext_lazy("Project"), queryset=Project.objects.none(), empty_label=None
    )
    owner = forms.ChoiceField(label=gettext_lazy("Owner"), required=False)
    field_order = ("name", "project", "owner", "expires", "expires_on")

    def __init__(self, organization: Organization, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelChoiceField[Project]", self.fields["project"])
        field.queryset = Project.objects.for_organization(organization).active()
        self._accounts = {
            str(account.pk): account
            for account in ServiceAccount.objects.for_organization(organization)
            .active()
            .select_related("project")
        }
        owner = cast("forms.ChoiceField", self.fields["owner"])
        owner.choices = list(self._owners())
        owner.help_text = _ends(organization)
        self.models_offer(organization)

    def _owners(self) -> Iterator[tuple[str, str]]:
        yield "me", _("You")
        for pk, account in self._accounts.items():
            name, project = account.name, account.project
            yield (
                pk,
                _("Service account %(name)s of %(project)s")
                % {
                    "name": name,
                    "project": project,
                },
            )

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        account, project = self.service_account, self.cleaned_data.get("project")
        if account and project and account.project_id != project.pk:
            self.add_error(
                "owner", _("This service account belongs to another project: choose one of this.")
            )
        return self.cleaned_data

    @property
    def service_account(self) -> ServiceAccount | None:
        return self._accounts.get(self.cleaned_data.get("owner", ""))

    @property
    def facts(self) -> dict[str, Any]:
        """For `api_key_create`."""
        return {
            "name": self.cleaned_data["name"],
            "project": self.cleaned_data["project"],
            "service_account": self.service_account,
            "expires_at": self.expires_at,
            "scope": self.scope,
        }


def _ends(organization: Organization) -> str:
    if organization.keys_end_with_member:
        return _("Your own key ends when you leave; one of a service account stays.")
    return _("Your own key works on when you leave, as your organization wants it.")


class KeyEditForm(EndForm, ScopeForm):
    """What can be changed of a key that is there."""

    name = NameField()
    field_order = ("name", "expires", "expires_on")

    def __init__(self, api_key: ApiKey, data: Any = None) -> None:
        super().__init__(data, initial=_first(api_key))
        self._before = api_key
        self.models_offer(api_key.organization, api_key.allowed_models)
        expires = cast("forms.ChoiceField", self.fields["expires"])
        if api_key.expires_at:
            kept = _("As it is: %(day)s") % {"day": date_format(api_key.expires_at, "j M Y H:i")}
            expires.choices = [("as is", kept), *LIFETIMES]

    @property
    @override
    def expires_at(self) -> datetime | None:
        if self.cleaned_data["expires"] == "as is":
            return self._before.expires_at
        return super().expires_at

    @property
    def facts(self) -> dict[str, Any]:
        """For `api_key_change`."""
        name = self.cleaned_data["name"]
        return {"name": name, "expires_at": self.expires_at, "scope": self.scope}


def _first(api_key: ApiKey) -> dict[str, Any]:
    return {
        "name": api_key.name,
        "expires": "as is" if api_key.expires_at else "never",
        "tasks": api_key.allowed_tasks,
        "models": api_key.allowed_models,
        "networks": "\n".join(api_key.allowed_networks),
    }


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label=gettext_lazy("The old secret works for"),
        choices=OVERLAPS,
        initial=str(OVERLAP // timedelta(hours=1)),
        help_text=gettext_lazy("Put the new one in place meanwhile; both work."),
    )

    @property
    def length(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class AdminKeyForm(EndForm):
    """A new admin key."""

    name = NameField(widget=forms.TextInput(attrs={"data-focus": True}))
    may_write = forms.BooleanField(
        label=gettext_lazy("May change things"),
        required=False,
        help_text=gettext_lazy("Else it only reads."),
    )
    field_order = ("name", "may_write", "expires", "expires_on")

    @property
    def facts(self) -> dict[str, Any]:
        """For `admin_key_create`."""
        given = self.cleaned_data
        return {
            "name": given["name"],
            "may_write": given["may_write"],
            "expires_at": self.expires_at,
        }


class FindKeysForm(forms.Form):
    """Which active keys: unused for so long, of a person, of a project. At least one of these."""

    unused = forms.ChoiceField(
        label=gettext_lazy("Unused for"),
        choices=[("", gettext_lazy("Any time")), *UNUSED],
        required=False,
    )
    person = forms.ModelChoiceField(
        label=gettext_lazy("Made by"),
        queryset=User.objects.none(),
        required=False,
        empty_label=gettext_lazy("Anyone"),
    )
    project = forms.ModelChoiceField(
        label=gettext_lazy("Project"),
        queryset=Project.objects.none(),
        required=False,
        empty_label=gettext_lazy("All projects"),
    )

    def __init__(self, organization: Organization, data: Any) -> None:
        super().__init__(data)
        self._keys = ApiKey.objects.for_organization(organization).active().listed()
        makers = self._keys.order_by().values("created_by").distinct()
        people = cast("forms.ModelChoiceField[User]", self.fields["person"])
        people.queryset = User.objects.filter(pk__in=makers).order_by("email")
        projects = cast("forms.ModelChoiceField[Project]", self.fields["project"])
        projects.queryset = Project.objects.for_organization(organization)

    @property
    def is_asked(self) -> bool:
        return self.is_valid() and any(self.cleaned_data.values())

    def found(self) -> list[ApiKey]:
        """The keys, those unused for longest first; none when nothing was asked."""
        if not self.is_asked:
            return []
        given, keys = self.cleaned_data, self._keys
        if given["unused"]:
            keys = keys.unused_since(timezone.now() - timedelta(days=int(given["unused"])))
        if given["person"]:
            keys = keys.filter(created_by=given["person"])
        if given["project"]:
            keys = keys.filter(project=given["project"])
        related = keys.select_related("project", "created_by", "service_account")
        return list(related.order_by("last_used_at", "pk"))


def chosen_ids(texts: Iterable[str]) -> list[UUID]:
    """Raises ValidationError for what is no id."""
    try:
        return [UUID(text) for text in texts]
    except ValueError as error:
        raise ValidationError(_("One of the keys is unknown. Look again.")) from error


class LeakedKeyForm(forms.Form):
    """A key in hand: who can show it may revoke it."""

    secret = forms.CharField(
        label=gettext_lazy("The key"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=gettext_lazy("All of it, from sluice_ on."),
    )
    url = forms.CharField(
        label=gettext_lazy("Where you found it"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("Its owners are told. An address, or a few words."),
    )

    def clean_secret(self) -> str:
        secret = str(self.cleaned_data["secret"])
        if not key_is_well_formed(secret):
            raise ValidationError(_("This is no whole key: its checksum does not fit."))
        return secret
