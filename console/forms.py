"""What people fill in: checked here, acted on by services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal, cast, override

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


def is_taken(form: forms.Form, change: Callable[[], object]) -> bool:
    """Whether it was taken; a refusal becomes the form's error."""
    try:
        change()
    except ValidationError as error:
        form.add_error(None, error)
        return False
    return True


LOG_RANGES: Final = {
    "1h": (timedelta(hours=1), gettext_lazy("1 h")),
    "24h": (timedelta(days=1), gettext_lazy("24 h")),
    "7d": (timedelta(days=7), gettext_lazy("7 d")),
    "30d": (timedelta(days=30), gettext_lazy("30 d")),
    "90d": (timedelta(days=90), gettext_lazy("90 d")),
}
DEFAULT_LOG_RANGE: Final = "24h"

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


class OwnDaysForm(forms.Form):
    """Days that were typed: both `from` and `to`, or none."""

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
            self.add_error("to" if first else "from", _("Choose both days of the range."))
        return self.cleaned_data

    def _check(self, first: date, last: date) -> None:
        if first > last:
            self.add_error("to", _("The range ends before it begins: choose a later end."))
        elif Days(first, last).count > MAX_DAYS:
            self.add_error("from", _("A range is at most %(days)s days.") % {"days": MAX_DAYS})

    @property
    def own_days(self) -> Days | None:
        """The days that were typed; None when the question was not valid, too."""
        typed = {} if self.errors else self.cleaned_data
        return Days(typed["from"], typed["to"]) if typed.get("from") else None

    @property
    def own_range(self) -> list[forms.BoundField]:
        """The fields `from` and `to`, with the range that is shown where they say nothing."""
        return [self["from"], self["to"]]


class DaysForm(OwnDaysForm):
    """The last `days`, or days that were typed."""

    days = forms.TypedChoiceField(
        choices=[(str(days), days) for days in PRESETS], coerce=int, required=False
    )

    @property
    def range(self) -> Days:
        """The days asked for; the last 30 when the question was not valid."""
        chosen = {} if self.errors else self.cleaned_data
        return self.own_days or Days.until_today(chosen.get("days") or DEFAULT_DAYS)

    @property
    def preset(self) -> int | None:
        """Which of `PRESETS` the range is; None for one of its own."""
        return None if self.own_days else self.range.count


class UsageForm(DaysForm):
    """The address of the usage page: `days`, or `from` and `to`; `group`; `measure`."""

    group = forms.ChoiceField(label=gettext_lazy("Group"), choices=GROUPS, required=False)
    measure = forms.ChoiceField(choices=MEASURES, required=False)

    @property
    def grouped_by(self) -> Group:
        return cast("Group", self.cleaned_data.get("group") or GROUPS[0][0])

    @property
    def measured_by(self) -> Measure:
        return cast("Measure", self.cleaned_data.get("measure") or MEASURES[0][0])


class LogForm(OwnDaysForm):
    """The address of the request log: `range`, or `from` and `to`; and `q`, an id."""

    range = forms.ChoiceField(
        choices=[(name, label) for name, (_length, label) in LOG_RANGES.items()], required=False
    )
    q = forms.CharField(max_length=128, required=False)

    @property
    def search(self) -> str:
        return str(self.cleaned_data.get("q") or "")

    @property
    def preset(self) -> str | None:
        """Which of `LOG_RANGES` is shown; None for days that were typed."""
        if self.own_days:
            return None
        return str((not self.errors and self.cleaned_data["range"]) or DEFAULT_LOG_RANGE)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From when until when; the last 24 hours when the question was not valid."""
        if days := self.own_days:
            return days.start, days.end
        now = timezone.now()
        length, _label = LOG_RANGES[self.preset or DEFAULT_LOG_RANGE]
        return now - length, now + timedelta(minutes=1)
