"""`manage.py verify_audit`: whether the audit trail is as it was written, here or in an export."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, override

from django.core.management.base import BaseCommand, CommandError

from tenants.audit import signing
from tenants.audit.checks import said_of, trail_verify
from tenants.audit.links import Finding
from tenants.audit.proofs import export_check


class Command(BaseCommand):
    help = "Look through the audit trail and its anchors, or through an export of one chain."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, help="an export; then no database is asked")
        parser.add_argument(
            "--show-key", action="store_true", help="print the public key of the signing key"
        )
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            help="whose anchors count, in base64; else those of the settings",
        )

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        if options["show_key"]:
            self.stdout.write(signing.public_key() or "AUDIT_SIGNING_KEY is not set.")
            return
        findings = (
            self._export(options["file"], options["public_key"])
            if options["file"]
            else self._trail()
        )
        if findings:
            raise CommandError("\n".join(["The trail was tampered with:", *said_of(findings)]))

    def _trail(self) -> list[Finding]:
        looked = trail_verify()
        chains = len(looked.heads)
        self.stdout.write(
            f"{looked.entries} entries in {chains} chains, {looked.anchors} anchors looked through."
        )
        return looked.findings

    def _export(self, file: Path, keys: list[str]) -> list[Finding]:
        try:
            with file.open() as lines:
                name, head, anchored, findings = export_check(lines, keys or signing.trusted_keys())
        except (OSError, ValueError) as error:
            raise CommandError(f"{file} cannot be read as an export: {error}") from error
        self.stdout.write(f"{name}: {head.seq} entries, anchored up to #{anchored}.")
        return findings
