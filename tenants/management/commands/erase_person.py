"""`manage.py erase_person`: make what the audit trail says of a person unreadable, for good."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, override

from django.core.management.base import BaseCommand, CommandError

from tenants.audit import person_erase
from tenants.models import User


class Command(BaseCommand):
    help = "Erase the keys of a person in the audit trail. It cannot be undone."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the e-mail address of the account")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"Nobody has the e-mail address {options['email']}.")
        gone = person_erase(actor=None, user=user)
        self.stdout.write(f"{gone} keys erased. The trail stays, and names number {user.pk}.")
