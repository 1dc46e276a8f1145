"""Anchors, Merkle proofs, and exports that are verified without a database."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from tenants.audit import merkle, signing
from tenants.audit.anchors import Anchor, anchor_make, heads_at
from tenants.audit.checks import trail_check
from tenants.audit.proofs import export_check, export_lines
from tenants.models import AnchoredHead, AuditAnchor
from tests.conftest import Cast
from tests.tenants.audit.conftest import project


def export(cast: Cast) -> list[str]:
    return "".join(export_lines(cast.acme.pk, name="Acme")).splitlines(keepends=True)


def wrong(lines: list[str]) -> list[str]:
    return [one.what for one in export_check(lines, signing.trusted_keys())[3]]


# Merkle trees


@given(st.integers(1, 70), st.data())
def test_every_leaf_climbs_to_the_root_and_no_other_does(count: int, data: st.DataObject) -> None:
    some = [hashlib.sha256(bytes([number])).digest() for number in range(count)]
    at = data.draw(st.integers(0, count - 1))
    steps = merkle.path(some, at)
    assert merkle.climbed(some[at], steps) == merkle.root(some)
    assert merkle.climbed(bytes(32), steps) != merkle.root(some)
    assert len(steps) <= (len(some) - 1).bit_length()


def test_the_root_is_the_one_of_rfc_6962() -> None:
    """Of the eight leaves of the test vectors of Certificate Transparency."""
    texts = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
             "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
    hashed = [hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest() for text in texts]
    assert merkle.root(hashed).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )


# Anchors


def test_an_anchor_is_signed_and_kept_read_only_outside(acts: Cast, anchors: Path) -> None:
    anchor = anchor_make()
    assert anchor is not None
    [file] = anchors.rglob("*.json")
    assert file.read_text() == anchor.document
    assert file.stat().st_mode & 0o222 == 0
    assert Anchor.read(file.read_text()).is_signed
    assert set(anchor.moved) == {acts.acme.pk, acts.rival.pk}


def test_an_anchor_holds_the_heads_that_moved(acts: Cast) -> None:
    first = anchor_make()
    project(acts.rita, acts.rival, "One more")
    second, third = anchor_make(), anchor_make()
    assert first is not None
    assert second is not None
    assert third is not None
    assert set(second.moved) == {acts.rival.pk}
    assert [heads_at(number) for number in range(4)] == [
        {}, first.moved, both := {**first.moved, **second.moved}, both,
    ]  # fmt: skip
    assert third.moved == {}
    assert third.root == second.root
    assert trail_check().is_right


def test_nothing_is_anchored_without_a_key(acts: Cast, anchors: Path, settings: Settings) -> None:
    settings.AUDIT_SIGNING_KEY = ""
    assert anchor_make() is None
    assert not anchors.exists()


def test_a_new_key_signs_and_the_old_one_still_counts(acts: Cast, settings: Settings) -> None:
    anchor_make()
    old = signing.public_key()
    settings.AUDIT_SIGNING_KEY = b64encode(bytes(32)).decode()
    anchor_make()
    assert [one.what for one in trail_check().findings] == [
        "Anchor 1 is not signed by a key that counts."
    ]
    settings.AUDIT_PUBLIC_KEYS = [old]
    assert trail_check().is_right


def test_what_only_the_store_knows_of_is_taken_over(acts: Cast) -> None:
    """After a crash between the two, or a restore of the database."""
    anchor_make()
    project(acts.olivia, acts.acme, "Late")
    anchor_make()
    AnchoredHead.objects.filter(anchor=2).delete()
    AuditAnchor.objects.filter(number=2).delete()

    third = anchor_make()

    assert third is not None
    assert third.number == 3
    assert AuditAnchor.objects.count() == 3
    assert trail_check().is_right


@pytest.mark.parametrize("document", ["", "{}", "[]", "nothing", '{"statement": "{}"}'])
def test_what_is_no_anchor_is_none(document: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Anchor.read(document)


# Exports


def test_an_export_verifies_without_a_database(acts: Cast) -> None:
    anchor_make()
    project(acts.olivia, acts.acme, "After the anchor")
    lines = export(acts)
    name, head, anchored, findings = export_check(lines, signing.trusted_keys())
    assert (name, head.seq, anchored, findings) == ("Acme", 18, 17, [])


def test_an_export_before_the_first_anchor_says_so(acts: Cast) -> None:
    assert export_check(export(acts), [])[2:] == (0, [])


def test_what_is_done_to_an_export_is_found_wherever_it_is_done(acts: Cast) -> None:
    anchor_make()
    true = export(acts)
    last = len(true) - 1
    for seed in range(100):
        chance = random.Random(seed)  # noqa: S311 - no secret
        lines, at = list(true), chance.randrange(1, last)
        match seed % 5:
            case 0:
                lines[at] = lines[at].replace(".create", ".delete").replace(".add", ".drop")
            case 1:
                del lines[at]
            case 2:
                lines.insert(chance.randrange(1, last), lines[at])
            case 3:
                other = chance.choice([n for n in range(1, last) if n != at])
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                del lines[at:last]
        assert wrong(lines), seed


def test_an_end_that_was_cut_off_with_its_head_is_found_by_the_anchor(acts: Cast) -> None:
    anchor_make()
    lines = export(acts)
    kept, proof = json.loads(lines[10]), json.loads(lines[-1])
    proof["proof"]["head"] = [kept["seq"], kept["hash"]]
    assert wrong([*lines[:11], json.dumps(proof)]) == ["Entry 17 is not the one that was anchored."]


def test_a_proof_by_another_key_or_of_another_root_does_not_count(acts: Cast) -> None:
    anchor_make()
    lines = export(acts)
    stranger = b64encode(bytes(32)).decode()
    assert [one.what for one in export_check(lines, [stranger])[3]] == [
        "The anchor is not signed by a key that counts."
    ]
    proof = json.loads(lines[-1])
    proof["proof"]["anchor"]["path"] = []
    assert wrong([*lines[:-1], json.dumps(proof)]) == [
        "The entry is not in the root of the anchor."
    ]


def test_the_command_verifies_a_file(
    acts: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchor_make()
    file = tmp_path / "acme.jsonl"
    file.write_text("".join(export(acts)))
    call_command("verify_audit", file=file, public_key=[signing.public_key()])
    assert "Acme: 17 entries, anchored up to #17." in capsys.readouterr().out
    file.write_text(file.read_text().replace("Search", "Starch"))
    with pytest.raises(CommandError, match="Entry 4 was changed"):
        call_command("verify_audit", file=file)
    file.write_text(json.dumps({"format": "sluice-audit-1", "chain": 7, "name": "Acme"}))
    with pytest.raises(CommandError, match="not of this format"):
        call_command("verify_audit", file=file)
    file.write_text("{}\n")
    with pytest.raises(CommandError, match="no export of an audit trail"):
        call_command("verify_audit", file=file)


def test_the_program_in_the_documentation_verifies_an_export(acts: Cast, tmp_path: Path) -> None:
    page = (Path(settings.BASE_DIR) / "docs/site/audit.md").read_text()
    program, file = tmp_path / "verify.py", tmp_path / "acme.jsonl"
    program.write_text("import" + page.partition("```text\nimport")[2].partition("```")[0])
    anchor_make()
    file.write_text("".join(export(acts)))

    def run() -> str:
        asked = [sys.executable, str(program), str(file), signing.public_key()]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout + done.stderr

    assert run().startswith("17 entries; signed up to 17 at ")
    file.write_text(file.read_text().replace("Search", "Starch"))
    assert "entry 4 was changed" in run()
