"""`manage.py demo_data`: months of traffic of many organizations, to see the pages full."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, override

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, transaction
from django.utils import timezone

from console.demo_data.cast import MOST, Cast
from console.demo_data.fleet import fleet_make
from console.demo_data.money import Money
from console.demo_data.traffic import Say, Traffic, rollups_make
from console.management.commands.demo import CUSTOMER
from console.management.commands.demo import ORGANIZATION as DEMO
from tenants import services
from tenants.models import Organization, Role, User

EVENTS: Final = 200_000
ORGANIZATIONS: Final = 500
DAYS: Final = 90


class Size(NamedTuple):
    """How much is made: the `events` of `days` that end with the hour `until`."""

    events: int
    organizations: int
    days: int
    seed: int
    until: datetime

    @property
    def since(self) -> datetime:
        return (self.until - timedelta(days=self.days)).replace(hour=0)


class Command(BaseCommand):
    help = "Make organizations and months of their requests: for a database to try things on."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=EVENTS)
        parser.add_argument(
            "--organizations", type=int, default=ORGANIZATIONS, help=f"{MOST} at most"
        )
        parser.add_argument("--days", type=int, default=DAYS)
        parser.add_argument("--seed", type=int, default=1, help="another makes other data")
        parser.add_argument(
            "--until", type=datetime.fromisoformat, help="the last hour, with its zone; else now"
        )
        parser.add_argument(
            "--force", action="store_true", help="beside organizations that are there"
        )

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        until = options["until"] or timezone.now()
        size = Size(
            events=options["events"],
            organizations=options["organizations"],
            days=options["days"],
            seed=options["seed"],
            until=until.replace(minute=0, second=0, microsecond=0),
        )
        _check(size, is_forced=options["force"])
        organization = data_make(size, self.stdout.write)
        self.stdout.write(
            f"Made {size.events:,} requests of {size.organizations} organizations since"
            f" {size.since:%-d %B %Y}. The largest: {organization.name}, /o/{organization.slug}/"
        )


@transaction.atomic
def data_make(size: Size, say: Say) -> Organization:
    """All of it or nothing; returns the largest organization.

    Raises IntegrityError where it is there already.
    """
    offers = fleet_make(None, size.since, size.until)
    cast = Cast(size.organizations, len(offers), size.seed, size.since)
    cast.keep()
    say(f"{len(cast.organizations)} organizations, {len(cast.plans)} keys")
    traffic = Traffic(cast.plans, offers, size.events, size.seed)
    batches = traffic.make(size.since, size.until, say)
    say("Their sums")
    rollups_make()
    say("Their books")
    Money(cast, size.seed, size.until).make(batches)
    _customer_join(cast.organizations[0])
    return cast.organizations[0]


def _check(size: Size, *, is_forced: bool) -> None:
    """Raises CommandError on what cannot be made, and on a database that has customers."""
    if size.events < 0 or size.days < 1 or not 1 <= size.organizations <= MOST:
        raise CommandError(f"Events, days and 1 to {MOST} organizations, please.")
    try:
        others = Organization.objects.exclude(slug=DEMO[0]).count()
    except OperationalError as error:
        raise CommandError("PostgreSQL does not answer: `make up` has to run.") from error
    if others and not is_forced:
        raise CommandError(
            f"This database has {others} organizations already, and what is made here cannot be"
            " taken away. Choose an empty one (`make clean` forgets that of `make up`), or"
            " --force it."
        )


def _customer_join(organization: Organization) -> None:
    """The demo's customer, where there is one, sees the pages of the largest organization."""
    if user := User.objects.filter(email=CUSTOMER[0]).first():
        services.member_add(actor=None, organization=organization, user=user, role=Role.OWNER)
