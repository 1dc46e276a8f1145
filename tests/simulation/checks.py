"""What must hold of a simulation, while it runs and at rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from uuid import UUID

from django.db.models import Sum

from billing.balances import balances_read
from billing.booked import unbooked
from billing.holds import holds_read, scopes_state
from billing.models import (
    AccountKind,
    BudgetAlert,
    Lease,
    Outcome,
    Period,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from inference.engines import Usage
from tests.simulation.world import Request, Tenant, nano_of


class Broken(AssertionError):  # noqa: N818
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class Checks:
    """Of `tenants` and all their `requests`. `may_exceed` is by how much more than it had each may
    have spent, in nano: what was held by a gateway that stood still until others ended it.
    """

    def __init__(
        self, tenants: Sequence[Tenant], requests: Sequence[Request], may_exceed: Counter[UUID]
    ) -> None:
        self._tenants, self._requests, self._may_exceed = tenants, requests, may_exceed

    def granted(self, request: Request) -> None:
        """What is promised and what is held stays within what the organization has."""
        tenant = request.tenant
        for scope in request.scopes:
            taken = sum(_taken(one, scope) for one in self._of(tenant))
            self._within(tenant, scope, taken)

    def at_rest(self) -> None:
        for tenant in self._tenants:
            self._events(tenant)
            self._sums(tenant)
            self._alerts(tenant)
            self._counters(tenant)
            self._spent(tenant)
        require(not Lease.objects.exists(), "something is set apart at rest")
        seen = holds_read()
        require(seen.open == 0, f"{seen.open} holds are left")
        ids = [(one.tenant.id, one.id) for one in self._requests if one.promised is not None]
        require(not unbooked(ids), "a settled request is not booked")

    def _of(self, tenant: Tenant) -> list[Request]:
        return [one for one in self._requests if one.tenant is tenant]

    def _within(self, tenant: Tenant, scope: str, nano: int) -> None:
        lasting = scope.split(":")[1] if ":" in scope else scope
        most = tenant.most_nano()[lasting] + self._may_exceed[tenant.id]
        require(nano <= most, f"{scope} of {most} has {nano} taken")

    def _events(self, tenant: Tenant) -> None:
        """Each request that ended has one event, as it was promised; a crash what was seen."""
        events = {one.request_id: one for one in UsageEvent.objects.filter(organization=tenant.id)}
        for request in self._of(tenant):
            event = events.pop(request.id, None)
            if request.record is not None:
                _as_promised(event, request)
            elif event is not None:
                usage = Usage(event.input_tokens, event.cached_tokens, event.output_tokens)
                is_crash = event.outcome == Outcome.GATEWAY_CRASH
                require(is_crash and usage in request.written, f"{request.id} was billed {usage}")
            if request.is_left and request.seen:
                require(event is not None, f"{request.id} was seen to use something, and is free")
                require(
                    event is not None and event.output_tokens == request.seen.output_tokens,
                    f"{request.id} is not billed by the last that was written of it",
                )
        require(not events, f"events of nobody: {list(events)}")

    def _sums(self, tenant: Tenant) -> None:
        """Events, hours, days and transfers are one number."""
        of = {"organization": tenant.organization}
        sums = [
            model._default_manager.filter(**of).aggregate(a=Sum("amount"), t=Sum("output_tokens"))
            for model in (UsageEvent, UsageHour, UsageDay)
        ]
        require(sums[0] == sums[1] == sums[2], f"events, hours, days: {sums}")
        revenue = Transfer.objects.filter(
            debit__organization=tenant.organization, credit__kind=AccountKind.REVENUE
        )
        posted = revenue.aggregate(a=Sum("amount"))["a"]
        require(posted == (sums[0]["a"] or None), f"{posted} in the books, {sums[0]['a']} used")

    def _alerts(self, tenant: Tenant) -> None:
        """Each threshold that a period has reached, and no other."""
        if not tenant.budget:
            return
        spent = Counter[object]()
        for day in UsageDay.objects.filter(organization=tenant.organization):
            start = day.day if tenant.budget.period == Period.DAY else day.day.replace(day=1)
            spent[start] += day.amount  # type: ignore[assignment]
        wanted = {
            (start, threshold)
            for start, amount in spent.items()
            for threshold in tenant.budget.thresholds
            if amount * 100 >= tenant.budget.amount * threshold
        }
        alerts = BudgetAlert.objects.filter(budget=tenant.budget)
        told = set(alerts.values_list("period_start", "threshold"))
        require(told == wanted, f"told {told}, reached {wanted}")

    def _counters(self, tenant: Tenant) -> None:
        """Nothing is held or unposted, and the balance is that of the books."""
        balances = balances_read([tenant.id])[tenant.id].by_scope
        for scope, state in scopes_state(tenant.id).items():
            require(state.held == 0, f"{scope} has {state.held} held at rest")
            require(state.unposted == 0, f"{scope} has {state.unposted} unposted at rest")
            if scope in balances:
                require(state.balance == balances[scope], f"{scope} is not that of the books")

    def _spent(self, tenant: Tenant) -> None:
        spent = defaultdict[str, int](int)
        requests = {one.id: one for one in self._of(tenant)}
        for event in UsageEvent.objects.filter(organization=tenant.organization):
            for scope in requests[event.request_id].scopes:
                if tenant.is_counted(scope, event.occurred_at):
                    spent[scope] += nano_of(event.amount)
        for scope, nano in spent.items():
            self._within(tenant, scope, nano)


def _as_promised(event: UsageEvent | None, request: Request) -> None:
    require(event is not None, f"{request.id} is not billed")
    record = request.record
    if event and record:
        found = (event.outcome, nano_of(event.amount), event.input_tokens, event.output_tokens)
        wanted = (record.outcome, request.promised, record.input_tokens, record.output_tokens)
        require(found == wanted, f"{request.id} was promised {wanted} and billed {found}")


def _taken(request: Request, scope: str) -> int:
    if not request.is_granted or scope not in request.scopes:
        return 0
    if request.record and request.promised is not None:
        is_counted = request.tenant.is_counted(scope, request.record.occurred_at)
        return request.promised if is_counted else 0
    return 0 if request.is_over else request.bound_nano
