"""What people fill in: checked here, acted on by services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, cast, override

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tenants.models import Organization, Project


class KeyForm(forms.Form):
    """A new API key: a name, and one of the organization's projects."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        help_text=gettext_lazy("Says later what the key is for: “search, production”."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "data-focus": True}),
    )
    project = forms.ModelChoiceField(
        label=gettext_lazy("Project"), queryset=Project.objects.none(), empty_label=None
    )

    def __init__(self, organization: Organization, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelChoiceField[Project]", self.fields["project"])
        field.queryset = Project.objects.for_organization(organization)


type Group = Literal["model", "api_key", "project"]
type Measure = Literal["cost", "tokens", "requests"]

GROUPS: Final = (
    ("model", gettext_lazy("By model")),
    ("api_key", gettext_lazy("By API key")),
    ("project", gettext_lazy("By project")),
)
MEASURES: Final = (
    ("cost", gettext_lazy("Cost")),
    ("tokens", gettext_lazy("Tokens")),
    ("requests", gettext_lazy("Requests")),
)
PRESETS: Final = (7, 30, 90)
DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 366
BY_HOUR_DAYS: Final = 2


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of UTC, both ends included."""

    first: date
    last: date

    @classmethod
    def until_today(cls, count: int) -> Days:
        today = timezone.now().astimezone(UTC).date()
        return cls(today - timedelta(days=count - 1), today)

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after the last day."""
        return self.start + timedelta(days=self.count)

    @property
    def by_hour(self) -> bool:
        return self.count <= BY_HOUR_DAYS

    @property
    def step(self) -> timedelta:
        return timedelta(hours=1) if self.by_hour else timedelta(days=1)

    def moments(self) -> list[datetime]:
        """The start of each day, or hour, of the range."""
        return [self.start + at * self.step for at in range((self.end - self.start) // self.step)]


class UsageForm(forms.Form):
    """The address of the usage page: `days`, or `from` and `to`; `group`; `measure`."""

    days = forms.TypedChoiceField(
        choices=[(str(days), days) for days in PRESETS], coerce=int, required=False
    )
    group = forms.ChoiceField(label=gettext_lazy("Group"), choices=GROUPS, required=False)
    measure = forms.ChoiceField(choices=MEASURES, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        day = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        for name, label in (("from", _("From")), ("to", _("To"))):
            self.fields[name] = forms.DateField(label=label, required=False, widget=day)

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        first, last = self.cleaned_data.get("from"), self.cleaned_data.get("to")
        if first and last:
            self._check(first, last)
        elif (first or last) and not self.errors:
            self.add_error("to" if first else "from", _("A range needs both days."))
        return self.cleaned_data

    def _check(self, first: date, last: date) -> None:
        if first > last:
            self.add_error("to", _("The range ends before it begins."))
        elif Days(first, last).count > MAX_DAYS:
            self.add_error("from", _("A range is at most %(days)s days.") % {"days": MAX_DAYS})

    @property
    def range(self) -> Days:
        """The days asked for; the last 30 when the question was not valid."""
        chosen = {} if self.errors else self.cleaned_data
        if chosen.get("from"):
            return Days(chosen["from"], chosen["to"])
        return Days.until_today(chosen.get("days") or DEFAULT_DAYS)

    @property
    def grouped_by(self) -> Group:
        return cast("Group", self.cleaned_data.get("group") or GROUPS[0][0])

    @property
    def measured_by(self) -> Measure:
        return cast("Measure", self.cleaned_data.get("measure") or MEASURES[0][0])

    @property
    def own_range(self) -> list[forms.BoundField]:
        """The fields `from` and `to`, with the range that is shown where they say nothing."""
        return [self["from"], self["to"]]

    @property
    def preset(self) -> int | None:
        """Which of `PRESETS` the range is; None for one of its own."""
        own = not self.errors and self.cleaned_data.get("from")
        return None if own else self.range.count
