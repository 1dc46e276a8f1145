"""Every page of the console, asked again and again by who may see it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.urls import get_resolver, reverse

from billing.models import Budget, Limit, Plan, Transfer, UsageDay, UsageEvent
from console.access import ACCESS, STAFF
from console.guides import FIRST
from inference.models import Backend, Deployment, Model
from tenants.models import ApiKey, Membership, Organization, Project, Role, User, new_id
from tests.bench.report import processor, section_write
from tests.bench.servers import BenchError
from tests.console.log_in import log_in_freshly
from tests.console.reasons import reason_given

GOAL_MS: Final = 300
TIMES: Final = 5
BEGIN: Final = "<!-- Pages: `make bench-pages` writes from here -->\n"
NOT_MADE: Final = frozenset({
    "invoice", "note", "payment", "rate", "refund", "item", "event", "token", "account",
    "admin_key_revoke", "sso_remove",
})  # fmt: skip
"""What the demo data has none of, by its name in addresses or by the page's; there 404 is right."""
PASSED_OVER: Final = frozenset({HTTPStatus.FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
"""It leads elsewhere, or takes POST alone."""
QUESTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "usage": ("?days=90", "?days=90&group=api_key", "?days=90&group=project&measure=tokens"),
    "usage_csv": ("?days=90&group=api_key",),
    "requests": (
        "?range=90d", "?range=90d&outcome=timeout", "?range=90d&model=apertus-70b",
        "?range=90d&q=no-such-id",
    ),
    "operator_overview": ("?range=1h", "?range=7d", "?range=30d"),
    "operator_requests": (
        "?range=90d", "?range=90d&outcome=gateway_crash", "?range=90d&model=apertus-70b",
        "?range=90d&q=no-such-id",
    ),
    "operator_explorer": (
        "?days=90", "?days=90&rows=day&columns=organization", "?days=90&rows=api_key&columns=model",
        "?days=7&rows=hour&columns=model",
    ),
    "operator_organizations": ("?sort=amount", "?sort=active", "?q=bank"),
}  # fmt: skip
"""What pages are asked beside their own address."""


@dataclass(frozen=True)
class Timing:
    """Of one page: the median and the worst of TIMES, its queries and the rows these gave."""

    page: str
    path: str
    ms: float
    worst_ms: float
    queries: int
    rows: int

    @property
    def is_file(self) -> bool:
        """No page: it is sent while it is made."""
        return "_csv" in self.page

    @property
    def is_slow(self) -> bool:
        return self.ms > GOAL_MS and not self.is_file


class Counter:
    """Counts the queries of a block, and the rows that they gave or changed."""

    def __init__(self) -> None:
        self.queries = self.rows = 0

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        result = execute(sql, params, many, context)
        self.queries += 1
        self.rows += max(0, context["cursor"].rowcount)
        return result


class Places:
    """What stands in the addresses of pages, by its name there: of the largest organization."""

    def __init__(self) -> None:
        sums = UsageDay.objects.values("organization").annotate(sum=Sum("requests"))
        self.organization = Organization.objects.get(pk=sums.order_by("-sum")[0]["organization"])
        self._values: dict[str, Callable[[], Any]] = {
            "org": lambda: self.organization.slug,
            "key": lambda: self._own(ApiKey).active()[0].pk,
            "page": lambda: FIRST,
            "model": lambda: Model.objects.enabled()[0].public_id,
            "backend": lambda: Backend.objects.all()[0].name,
            "deployment": lambda: Deployment.objects.all()[0].pk,
            "request_id": lambda: self._own(UsageEvent)[0].request_id,
            "budget": lambda: self._own(Budget)[0].pk,
            "limit": lambda: self._own(Limit).exclude(project=None)[0].pk,
            "plan": lambda: Plan.objects.filter(is_public=True)[0].slug,
            "member": lambda: self._own(Membership)[0].pk,
            "project": lambda: self._own(Project)[0].pk,
            "user": lambda: User.objects.filter(is_staff=True)[0].pk,
            "book": lambda: "list",
            "transfer": lambda: Transfer.objects.order_by("-created_at")[0].pk,
            # What names these takes POST alone.
            "halt": lambda: 1,
            "session": lambda: 1,
            "invitation": new_id,
            "domain": new_id,
            **dict.fromkeys(NOT_MADE, new_id),
        }

    def of(self, page: str) -> dict[str, Any]:
        """Raises BenchError for a name in its address that has no value here."""
        names = _names(page)
        if missing := names - self._values.keys():
            raise BenchError(f"{page}: give {missing} a value in {Path(__file__).name}")
        return {name: self._values[name]() for name in names}

    def _own(self, model: type[Any]) -> Any:
        return model.objects.for_organization(self.organization)


class PageTimes:
    """Of all pages, or of those whose name holds `only`."""

    def __init__(self, made: Mapping[str, Any], only: str) -> None:
        self._made, self._only = made, only
        self._places = Places()
        member = Membership.objects.for_organization(self._places.organization)
        self._member = _client(member.filter(role=Role.OWNER)[0].user)
        operator = _client(User.objects.create_superuser(f"{new_id()}@bench.test"))
        self._operator = reason_given(operator, self._places.organization)
        self.found: list[Timing] = []
        self.faults: list[str] = []

    def take(self) -> None:
        """All of them, one after the other."""
        for page, path in list(self.paths()):
            if timing := self.time(page, path):
                self.found.append(timing)

    @property
    def is_good(self) -> bool:
        """Every page answers, and in time."""
        return not self.faults and not any(timing.is_slow for timing in self.found)

    def text(self) -> str:
        """The table for a terminal."""
        lines = [f"{'page':<52}{'ms':>8}{'worst':>8}{'queries':>9}{'rows':>9}"]
        lines += [
            f"{one.page:<52}{one.ms:>8.0f}{one.worst_ms:>8.0f}{one.queries:>9}{one.rows:>9}"
            + ("  too slow" if one.is_slow else "")
            for one in self.found
        ]
        return "\n".join([*lines, *self.faults])

    def write(self, file: Path) -> None:
        """Keep the figures, and put them into the documentation."""
        pages = [asdict(timing) for timing in self.found]
        whole = {**self._made, "goal_ms": GOAL_MS, "times": TIMES, "pages": pages}
        file.write_text(json.dumps(whole, indent=2) + "\n")
        section_write(BEGIN, self._markdown())

    def _markdown(self) -> str:
        head = (
            f"Of {datetime.now(UTC):%-d %B %Y}, with {self._made['events']:,} requests of 90 days,"
            f" on an {processor()}:\n"
        )
        rows = [
            f"| {one.page} | {one.ms:.0f} | {one.worst_ms:.0f} | {one.queries} | {one.rows:,} |\n"
            for one in self.found
        ]
        table = "| page | ms | worst | queries | rows |\n|---|--:|--:|--:|--:|\n" + "".join(rows)
        return f"\n{head}\n{table}\n"

    def paths(self) -> Iterator[tuple[str, str]]:
        """Each page by its name, and again with each of its QUESTIONS."""
        for page in ACCESS:
            for question in ("", *QUESTIONS.get(page, ())):
                name = page + question
                if self._only in name:
                    yield name, reverse(page, kwargs=self._places.of(page)) + question

    def time(self, page: str, path: str) -> Timing | None:
        """Once to warm up, then TIMES; None for what is no page."""
        is_operator = ACCESS[page.partition("?")[0]] in STAFF
        client = self._operator if is_operator else self._member
        status, *_first = _ask(client, path)
        if status in PASSED_OVER or (status == HTTPStatus.NOT_FOUND and _is_of(page, NOT_MADE)):
            return None
        if status != HTTPStatus.OK:
            self.faults.append(f"{path} answers {status}")
            return None
        took = []
        for _again in range(TIMES):
            _status, ms, counter = _ask(client, path)
            took.append(ms)
        return Timing(page, path, statistics.median(took), max(took), counter.queries, counter.rows)


def _names(page: str) -> set[str]:
    """What stands in its address."""
    return set(get_resolver().reverse_dict.getlist(page.partition("?")[0])[0][0][0][1])


def _is_of(page: str, names: Set[str]) -> bool:
    return page in names or not names.isdisjoint(_names(page))


def _ask(client: Client, path: str) -> tuple[int, float, Counter]:
    counter = Counter()
    with connection.execute_wrapper(counter):
        began = perf_counter()
        response = client.get(path)
        if response.streaming:
            async_to_sync(_read)(response)
        ms = (perf_counter() - began) * 1000
    return response.status_code, ms, counter


async def _read(response: Any) -> None:
    async for _piece in response:
        pass


def _client(user: User) -> Client:
    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    return log_in_freshly(client, user)
