"""What was used and what it cost, in buckets of time: the sums that the usage page shows.

Hours and days come from their rollups, minutes from the events themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from django.db.models import Case, Count, F, Q, QuerySet, Sum, When
from django.db.models.functions import TruncMinute
from django.utils import timezone
from msgspec import Meta, Struct

from billing.models import UsageDay, UsageEvent, UsageHour
from billing.price_books import currency_of
from console.api.callers import Caller
from console.api.operations import OrganizationView, operation
from console.api.paging import RowNumber
from console.api.reading import Asked, Moment, Text
from inference.gateway.errors import InvalidRequest
from inference.models import Model, Task

type Width = Literal["1m", "1h", "1d"]

Ids = Annotated[tuple[UUID, ...], Meta(max_length=100)]
Users = Annotated[tuple[RowNumber, ...], Meta(max_length=100)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=100)]
Buckets = Annotated[int, Meta(ge=1, le=1440)]
Cursor = Annotated[str, Meta(pattern=r"^page_[0-9]{1,10}$(?!\n)")]

WIDTHS: Final = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
USUAL: Final = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""How many buckets a page has, unless told, and at most."""
COSTS_USUAL: Final = (7, 180)
MOST_MINUTES: Final = timedelta(days=7)
"""Of events no longer span is looked through."""
_SUMMED: Final = ("input_tokens", "cached_tokens", "output_tokens", "audio_seconds", "amount")
_COLUMNS: Final = {
    "project_id": "project_id", "api_key_id": "api_key_id", "model": "model",
    "line_item": "model", "user_id": "person",
}  # fmt: skip


class Result(Struct, kw_only=True):
    """What it was not grouped by is null."""

    object: str
    num_model_requests: int
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None


class TokensIn(Result, kw_only=True):
    input_tokens: int


class Tokens(TokensIn, kw_only=True):
    """`input_cached_tokens` are part of `input_tokens`."""

    output_tokens: int
    input_cached_tokens: int
    input_uncached_tokens: int
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    batch: bool | None = None
    service_tier: str | None = None


class AudioSeconds(Result, kw_only=True):
    seconds: int


class Amount(Struct, kw_only=True):
    """Exact to twelve decimals, in the organization's currency."""

    value: Annotated[Decimal, Meta(extra_json_schema={"type": "number"})]
    currency: str


class Cost(Struct, kw_only=True):
    """A line item is a model."""

    object: Literal["organization.costs.result"] = "organization.costs.result"
    amount: Amount
    line_item: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None
    user_id: str | None = None


class Bucket[R: Struct](Struct, kw_only=True):
    """From `start_time` up to `end_time`."""

    object: Literal["bucket"] = "bucket"
    start_time: int
    end_time: int
    results: list[R]


class UsagePage[R: Struct](Struct, kw_only=True):
    object: Literal["page"] = "page"
    data: list[Bucket[R]]
    has_more: bool
    next_page: str | None


class Spanned(Asked, kw_only=True):
    """Times are of UTC; a span begins and ends with whole buckets, and ends now unless told."""

    start_time: Moment
    end_time: Moment | None = None
    limit: Buckets | None = None
    page: Cursor | None = None
    project_ids: Ids = ()
    api_key_ids: Ids = ()
    user_ids: Users = ()


class UsageAsked(Spanned, kw_only=True):
    """`1m` spans 7 days at most."""

    bucket_width: Width = "1d"
    models: Texts = ()
    group_by: Annotated[
        tuple[Literal["project_id", "user_id", "api_key_id", "model"], ...], Meta(max_length=4)
    ] = ()


class CostsAsked(Spanned, kw_only=True):
    bucket_width: Literal["1d"] = "1d"
    line_items: Texts = ()
    group_by: Annotated[
        tuple[Literal["project_id", "user_id", "api_key_id", "line_item"], ...], Meta(max_length=4)
    ] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """The buckets of one page, and where the next page begins."""

    start: datetime
    end: datetime
    width: timedelta
    following: datetime | None

    @property
    def moments(self) -> list[datetime]:
        return [self.start + at * self.width for at in range((self.end - self.start) // self.width)]


def span_of(asked: Spanned, width: Width, usual: tuple[int, int]) -> Span:
    step = WIDTHS[width]
    first = _whole(datetime.fromtimestamp(asked.start_time, UTC), step)
    last = _whole(_last(asked), step) + step
    if last <= first or (asked.end_time or last.timestamp()) <= asked.start_time:
        raise InvalidRequest("The span ends before it begins.", param="end_time")
    if width == "1m" and last - first > MOST_MINUTES:
        raise InvalidRequest(
            "Minutes span 7 days at most. Ask for hours, or for less.", param="bucket_width"
        )
    start = _cursor(asked, first, last, step)
    stop = min(last, start + _count(asked, usual) * step)
    return Span(start, stop, step, stop if stop < last else None)


def _last(asked: Spanned) -> datetime:
    """The last moment that was asked for; what ends now is in it."""
    if asked.end_time is None:
        return timezone.now()
    return datetime.fromtimestamp(asked.end_time, UTC) - timedelta(microseconds=1)


def _whole(moment: datetime, step: timedelta) -> datetime:
    """The bucket that `moment` is in: 1970 began with all of them."""
    return moment - (moment - datetime.fromtimestamp(0, UTC)) % step


def _count(asked: Spanned, usual: tuple[int, int]) -> int:
    count, most = usual
    if asked.limit and asked.limit > most:
        raise InvalidRequest(f"At most {most} buckets of this width.", param="limit")
    return asked.limit or count


def _cursor(asked: Spanned, first: datetime, last: datetime, step: timedelta) -> datetime:
    if asked.page is None:
        return first
    start = datetime.fromtimestamp(int(asked.page.removeprefix("page_")), UTC)
    if not first <= start < last or start != _whole(start, step):
        raise InvalidRequest("This is no page of this question.", param="page")
    return start


def _rows(caller: Caller, span: Span) -> tuple[QuerySet[Any], str]:
    """The sums, or the events, of the span, and the name of their time."""
    if span.width == WIDTHS["1d"]:
        days = UsageDay.objects.for_organization(caller.organization)
        last = (span.end - timedelta(days=1)).date()
        return days.within(span.start.date(), last), "day"
    if span.width == WIDTHS["1h"]:
        hours = UsageHour.objects.for_organization(caller.organization)
        return hours.between(span.start, span.end), "hour"
    events = UsageEvent.objects.for_organization(caller.organization)
    found = events.filter(occurred_at__gte=span.start, occurred_at__lt=span.end)
    return found.annotate(minute=TruncMinute("occurred_at", tzinfo=UTC)), "minute"


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one group in one bucket; `ids` are what it is grouped by."""

    ids: dict[str, str | None]
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    audio_seconds: int
    amount: Decimal


def sums_read(
    caller: Caller, span: Span, which: Q, asked: Spanned, groups: Sequence[str]
) -> dict[datetime, list[Sums]]:
    """The sums of each bucket by group. One query."""
    found, moment = _rows(caller, span)
    if asked.user_ids or "user_id" in groups:
        found = found.annotate(person=_PERSON)
    found = found.filter(which & _chosen(asked))
    requests = Count("request_id") if moment == "minute" else Sum("requests")
    columns = [_COLUMNS[group] for group in groups]
    rows = found.order_by().values_list(moment, *columns).annotate(
        requests_sum=requests, **{f"{name}_sum": Sum(name) for name in _SUMMED}
    )  # fmt: skip
    buckets = defaultdict[datetime, list[Sums]](list)
    for at, *values in rows.order_by(moment, *columns):
        ids = [None if one is None else str(one) for one in values[: len(columns)]]
        named = dict(zip(groups, ids, strict=True))
        buckets[_moment(at)].append(Sums(named, *values[len(columns) :]))
    return buckets


_PERSON: Final = Case(When(api_key__service_account=None, then=F("api_key__created_by")))
"""Whose key it was; a service account is nobody."""


def _chosen(asked: Spanned) -> Q:
    lists = {
        "project_id__in": asked.project_ids,
        "api_key_id__in": asked.api_key_ids,
        "person__in": asked.user_ids,
    }
    return Q(**{name: values for name, values in lists.items() if values})


def _moment(at: Any) -> datetime:
    """A day begins at midnight."""
    return at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)


def page_of_buckets[R: Struct](span: Span, results: dict[datetime, list[R]]) -> UsagePage[R]:
    shown = [
        Bucket(
            start_time=int(at.timestamp()),
            end_time=int((at + span.width).timestamp()),
            results=results.get(at, []),
        )
        for at in span.moments
    ]
    following = f"page_{int(span.following.timestamp())}" if span.following else None
    return UsagePage(data=shown, has_more=following is not None, next_page=following)


KINDS: Final = {
    "completions": frozenset({Task.CHAT, Task.COMPLETION}),
    "embeddings": frozenset({Task.EMBEDDING}),
    "reranks": frozenset({Task.RERANK}),
    "audio_transcriptions": frozenset({Task.TRANSCRIPTION, Task.TRANSLATION}),
}
"""Each model's usage is of one kind: the first that one of its tasks is of."""
NEVER: Final = (
    "moderations", "images", "audio_speeches", "vector_stores", "code_interpreter_sessions",
    "file_search_calls", "web_search_calls",
)  # fmt: skip
"""What OpenAI counts and nobody here uses: tools ask for it, and read buckets of nothing."""


def kind_of(tasks: Iterable[str]) -> str:
    own = frozenset(tasks)
    return next((kind for kind, among in KINDS.items() if own & among), "completions")


def _of_kind(kind: str) -> Q:
    """Usage of models of `kind`; a model that is not known any more is of the first kind."""
    kinds = {
        name: kind_of(tasks) for name, tasks in Model.objects.values_list("public_id", "tasks")
    }
    if kind == "completions":
        return ~Q(model__in=[name for name, of in kinds.items() if of != kind])
    return Q(model__in=[name for name, of in kinds.items() if of == kind])


class UsageView(OrganizationView):
    """`kind` is of KINDS, or of NEVER."""

    route = "usage"
    kind: str = ""

    def buckets[R: Struct](
        self, caller: Caller, query: UsageAsked, show: Callable[[Sums, dict[str, Any]], R]
    ) -> UsagePage[R]:
        span = span_of(query, query.bucket_width, USUAL[query.bucket_width])
        if self.kind in NEVER:
            return page_of_buckets(span, {})
        which = _of_kind(self.kind)
        if query.models:
            which &= Q(model__in=query.models)
        groups = list(dict.fromkeys(query.group_by))
        sums = sums_read(caller, span, which, query, groups)
        return page_of_buckets(
            span, {at: [show(one, self._facts(one)) for one in ones] for at, ones in sums.items()}
        )

    def _facts(self, sums: Sums) -> dict[str, Any]:
        """What results of every kind have."""
        name = f"organization.usage.{self.kind}.result"
        return {"object": name, "num_model_requests": sums.requests, **sums.ids}


class CompletionsView(UsageView):
    @operation
    def get(self, caller: Caller, query: UsageAsked) -> UsagePage[Tokens]:
        """What chats and completions used, in buckets of time."""
        return self.buckets(caller, query, _tokens)


class InputView(UsageView):
    @operation
    def get(self, caller: Caller, query: UsageAsked) -> UsagePage[TokensIn]:
        """What embeddings or reranks used, in buckets of time."""
        return self.buckets(caller, query, _tokens_in)


class AudioView(UsageView):
    @operation
    def get(self, caller: Caller, query: UsageAsked) -> UsagePage[AudioSeconds]:
        """What transcriptions and translations used, in buckets of time."""
        return self.buckets(caller, query, _seconds)


class NeverView(UsageView):
    @operation
    def get(self, caller: Caller, query: UsageAsked) -> UsagePage[Result]:
        """Buckets of nothing: this is OpenAI's, and not offered here."""
        return self.buckets(caller, query, lambda sums, facts: Result(**facts))


def _tokens(sums: Sums, facts: dict[str, Any]) -> Tokens:
    return Tokens(
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        input_cached_tokens=sums.cached_tokens,
        input_uncached_tokens=sums.input_tokens - sums.cached_tokens,
        **facts,
    )


def _tokens_in(sums: Sums, facts: dict[str, Any]) -> TokensIn:
    return TokensIn(input_tokens=sums.input_tokens, **facts)


def _seconds(sums: Sums, facts: dict[str, Any]) -> AudioSeconds:
    return AudioSeconds(seconds=sums.audio_seconds, **facts)


VIEWS: Final[dict[str, type[UsageView]]] = {
    "completions": CompletionsView,
    "embeddings": InputView,
    "reranks": InputView,
    "audio_transcriptions": AudioView,
    **dict.fromkeys(NEVER, NeverView),
}


class CostsView(OrganizationView):
    route = "costs"

    @operation
    def get(self, caller: Caller, query: CostsAsked) -> UsagePage[Cost]:
        """What it cost, by day."""
        span = span_of(query, query.bucket_width, COSTS_USUAL)
        which = Q(model__in=query.line_items) if query.line_items else Q()
        groups = list(dict.fromkeys(query.group_by))
        sums = sums_read(caller, span, which, query, groups)
        currency = currency_of(caller.organization.pk).lower()
        found = {at: [_cost(one, currency) for one in ones] for at, ones in sums.items()}
        return page_of_buckets(span, found)


def _cost(sums: Sums, currency: str) -> Cost:
    facts: dict[str, Any] = dict(sums.ids)
    return Cost(amount=Amount(value=sums.amount, currency=currency), **facts)
