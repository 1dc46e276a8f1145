"""What was done to the trail behind its back is found: in the chains, or through the anchors."""

# ruff: noqa: S608 - names of our own tables

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from tenants import audit
from tenants.audit.anchors import anchor_make
from tenants.audit.checks import Looked, trail_check, trail_verify
from tenants.models import PLATFORM, AuditAnchor, AuditEntry, AuditHead, AuditStanding
from tests.conftest import Cast
from tests.tenants.audit.conftest import project
from tests.tenants.audit.tampering import (
    ACTS,
    ENTRY,
    HEAD,
    Act,
    head_move,
    insert,
    rewrite,
    sql,
    superuser,
)

PLACES = 15
"""Tried in each of two chains, for each of seven acts: 210."""


def last_of(chain: UUID) -> int:
    return AuditHead.objects.get(chain=chain).seq


def found(looked: Looked, chain: UUID) -> list[str]:
    return [one.what for one in looked.findings if one.chain == chain]


def test_a_trail_that_nobody_touched_is_right(acts: Cast) -> None:
    anchor_make()
    project(acts.olivia, acts.acme, "After the anchor")
    looked = trail_check()
    assert looked.findings == []
    assert looked.entries == AuditEntry.objects.count() > 15
    assert looked.anchors == 1
    assert set(looked.heads) == {acts.acme.pk, acts.rival.pk}


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_what_is_done_to_a_chain_is_found_wherever_it_is_done(act: Act, acts: Cast) -> None:
    audit.record(actor=acts.oskar, action="plan.create", target=acts.acme)
    audit.record(actor=acts.oskar, action="plan.update", target=acts.acme)
    anchor_make()
    for seed in range(PLACES):
        chance = random.Random(f"{act.__name__} {seed}")  # noqa: S311 - no secret
        for chain in (acts.acme.pk, PLATFORM):
            with superuser():
                act(chance, chain, last_of(chain))
                assert found(trail_check(), chain), f"{act.__name__} {seed} {chain}"
    assert trail_check().is_right


def test_a_rewrite_that_links_is_found_by_the_anchor_alone(acts: Cast, anchors: Path) -> None:
    anchor_make()
    chain = acts.acme.pk
    with superuser():
        rewrite(chain, 1)
        [wrong] = found(trail_check(), chain)
        assert f"Entry {last_of(chain)} is not the one of anchor 1" in wrong
        for kept in anchors.rglob("*.json"):
            kept.unlink()
        AuditAnchor.objects.all()._raw_delete("default")
        assert trail_check().is_right, "without anchors nobody could tell"


def test_a_rewrite_of_the_anchors_on_record_is_found_by_those_that_are_kept(acts: Cast) -> None:
    anchor_make()
    with superuser():
        AuditAnchor.objects.update(document="{}")
        assert "Anchor 1 is another one than the database has on record." in found(
            trail_check(), PLATFORM
        )


def test_an_anchor_that_is_gone_changed_or_forged_is_found(acts: Cast, anchors: Path) -> None:
    for name in ("one", "two", "three"):
        project(acts.olivia, acts.acme, name)
        anchor_make()
    first, second, third = sorted(anchors.rglob("*.json"))
    true = second.read_text()

    second.chmod(0o644)
    second.write_text(true.replace("acme", "rival").replace('"key": "', '"key": "0'))
    assert "Anchor 2 is another one than the database has on record." in found(
        trail_check(), PLATFORM
    )
    second.write_text(true.replace('\\"chains\\": 2', '\\"chains\\": 3'))
    assert "Anchor 2 is not signed by a key that counts." in found(trail_check(), PLATFORM)
    second.write_text("nothing")
    assert "Anchor 2 is no anchor." in found(trail_check(), PLATFORM)
    second.unlink()
    wrong = found(trail_check(), PLATFORM)
    assert "Anchor 2 is not where it was kept." in wrong
    assert "Anchor 3 does not follow the one before it." in wrong

    second.write_text(true)
    assert trail_check().is_right
    third.unlink()
    assert found(trail_check(), PLATFORM) == ["Anchor 3 is not where it was kept."]
    assert first.exists()


def test_an_entry_without_a_chain_is_found(acts: Cast) -> None:
    stray = UUID(int=7)
    with superuser():
        insert(random.Random(1), acts.acme.pk, 3)  # noqa: S311 - no secret
        sql(f"UPDATE {ENTRY} SET chain = %s WHERE id = (SELECT max(id) FROM {ENTRY})", stray)
        assert "The chain has entries, and no head." in found(trail_check(), stray)


def test_an_entry_that_was_moved_to_another_organization_is_found(acts: Cast) -> None:
    with superuser():
        sql(f"UPDATE {ENTRY} SET organization_id = %s WHERE seq = 3", acts.rival.pk)
        assert "Entry 3 shows other facts than were recorded." in found(trail_check(), acts.acme.pk)


def test_what_came_out_is_on_record(acts: Cast) -> None:
    anchor_make()
    project(acts.olivia, acts.acme, "Later")
    trail_verify()
    standing = AuditStanding.objects.for_organization(acts.acme).get()
    assert (standing.seq, standing.anchored_seq) == (last_of(acts.acme.pk), standing.seq - 1)
    assert standing.findings == []
    with superuser():
        rewrite(acts.acme.pk, 2)
        trail_verify()
        standing.refresh_from_db()
        assert "is not the one of anchor 1" in standing.findings[0]


def test_a_chain_that_is_gone_with_its_head_is_told_of_by_the_platforms(acts: Cast) -> None:
    anchor_make()
    chain = acts.rival.pk
    with superuser():
        sql(f"DELETE FROM {ENTRY} WHERE chain = %s", chain)
        sql(f"DELETE FROM {HEAD} WHERE chain = %s", chain)
        trail_verify()
        [said] = AuditStanding.objects.get(chain=PLATFORM).findings
        assert said.startswith(f"{chain} #4: Entry 4 is not the one of anchor 1")


def test_the_command_says_what_it_found(acts: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    anchor_make()
    call_command("verify_audit")
    assert "2 chains, 1 anchors looked through" in capsys.readouterr().out
    with superuser():
        sql(f"DELETE FROM {ENTRY} WHERE chain = %s AND seq > 4", acts.acme.pk)
        head_move(acts.acme.pk)
        with pytest.raises(CommandError, match=f"{acts.acme.pk} #.*not the one of anchor 1"):
            call_command("verify_audit")
