"""What an entry holds: who, where from, before and after, and nothing that opens a door."""

from __future__ import annotations

import json
from importlib import import_module
from threading import Thread

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from tenants import audit, keys
from tenants.audit.checks import trail_check
from tenants.audit.personal import subject_of
from tenants.models import AuditEntry, AuditHead, PersonKey, User
from tenants.tenancy import LOGIN, OWNER, STAFF, member, standing_as
from tests.conftest import Cast
from tests.tenants.audit.conftest import project
from tests.tenants.audit.tampering import sql


def entry_of(cast: Cast, **facts: object) -> AuditEntry:
    return audit.record(
        actor=cast.olivia,
        action="thing.do",
        target=cast.project,
        organization=cast.acme,
        **facts,  # type: ignore[arg-type] # the facts that a test makes up
    )


def personal(entry: AuditEntry) -> dict[str, object]:
    return audit.personal_open([entry])[entry.pk]


def test_an_entry_follows_the_one_before_it_in_its_chain(cast: Cast) -> None:
    first, second = entry_of(cast), entry_of(cast)
    other = audit.record(actor=None, action="thing.do", target=cast.rival, organization=cast.rival)
    assert second.seq == first.seq + 1
    assert bytes(second.prev) == bytes(first.hash)
    assert bytes(other.prev) != bytes(second.hash)
    head = AuditHead.objects.for_organization(cast.acme).get()
    assert (head.seq, bytes(head.hash)) == (second.seq, bytes(second.hash))


def test_the_entry_says_where_the_act_came_from(cast: Cast) -> None:
    with audit.acting(
        ip="203.0.113.9",
        user_agent="Firefox",
        request_id="r1",
        auth=lambda: "password+totp",
        on_behalf_of=cast.max,
    ):
        entry = entry_of(cast, reason="since we must")
    assert (entry.auth, entry.request_id) == ("password+totp", "r1")
    assert (entry.on_behalf_of, entry.reason) == (cast.max, "since we must")
    assert personal(entry) == {"ip": "203.0.113.9", "user_agent": "Firefox"}
    assert "203.0.113.9" not in entry.body
    assert entry_of(cast).request_id == "", "what was set for one request is over with it"


def test_where_staff_sits_is_for_staff_to_know(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        entry = audit.record(
            actor=cast.oskar, action="x.y", target=cast.acme, organization=cast.acme,
            email="max@acme.test",
        )  # fmt: skip
    assert personal(entry) == {"email": "max@acme.test"}
    told = audit.personal_open([entry], to_staff=True)[entry.pk]
    assert told == {"email": "max@acme.test", "ip": "203.0.113.9"}


def test_facts_about_people_can_be_read_and_are_not_in_the_chain(cast: Cast) -> None:
    entry = entry_of(cast, email="nora@nowhere.test", role="admin", emails=["a@b.test"])
    assert entry.data == {"role": "admin"}
    assert personal(entry) == {"email": "nora@nowhere.test", "emails": ["a@b.test"]}
    assert "nowhere" not in entry.body


def test_erasing_a_person_leaves_the_chain_and_not_the_facts(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        by_her = entry_of(cast)
        about_max = entry_of(cast, person="Max Berg", about=cast.max)
        invited = entry_of(cast, email=cast.olivia.email)
    assert audit.person_erase(actor=cast.oskar, user=cast.olivia) == 2
    assert personal(by_her) == personal(invited) == {audit.ERASED: True}
    assert personal(about_max) == {"person": "Max Berg", audit.ERASED: True}
    assert trail_check().is_right
    assert not any(bytes(key.sealed) for key in PersonKey.objects.exclude(erased_at=None)), (
        "nothing is left to open it with"
    )


def test_erasing_twice_is_one_act(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        entry_of(cast)
    audit.person_erase(actor=None, user=cast.olivia)
    assert audit.person_erase(actor=None, user=cast.olivia) == 0
    assert AuditEntry.objects.of_platform().filter(action="person.erase").count() == 1


def test_whoever_acts_after_being_erased_gets_a_key_of_their_own(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        entry_of(cast)
        audit.person_erase(actor=None, user=cast.olivia)
        later = entry_of(cast)
    assert personal(later) == {"ip": "203.0.113.9"}


def test_a_cipher_text_that_was_tampered_with_tells_nothing(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        entry = entry_of(cast)
    [(key, cipher)] = entry.personal.items()
    entry.personal = {key: cipher[:-8] + "AAAAAAA="}
    assert personal(entry) == {audit.ERASED: True}


def test_strangers_of_a_month_share_a_key(cast: Cast) -> None:
    with audit.acting(ip="203.0.113.9"):
        audit.record(actor=None, action="session.fail", target=cast.max)
        audit.record(actor=None, action="session.fail", target=cast.olivia)
    [key] = PersonKey.objects.filter(subject__startswith="strangers:")
    assert key.subject == subject_of(None)


def test_nobodys_address_is_a_subject_in_the_clear() -> None:
    assert "nora" not in subject_of("nora@nowhere.test")
    assert subject_of("Nora@Nowhere.test") == subject_of("nora@nowhere.test")


@pytest.mark.parametrize(
    "facts",
    [
        {"password": "hunter2"},
        {"webhook_secret": "hunter2"},
        {"note": "the key is " + keys.key_mint()},
        {"changes": {"token": [None, "hunter2"]}},
        {"note": ["Authorization: Bearer hunter2"]},
        {"email": "Bearer hunter2"},
    ],
)
def test_a_secret_is_never_written_down(facts: dict[str, object], cast: Cast) -> None:
    entry = entry_of(cast, **facts)
    told = entry.body + json.dumps(personal(entry))
    assert "hunter2" not in told
    assert "sluice_sk_" not in told
    assert "[redacted]" in told


def test_counts_of_tokens_are_no_secrets(cast: Cast) -> None:
    facts: dict[str, object] = {"kind": "tpm", "input_tokens": 5, "max_tokens_per_minute": 100}
    assert entry_of(cast, **facts).data == facts


def test_what_is_long_or_odd_is_cut_and_kept(cast: Cast) -> None:
    entry = entry_of(cast, note="x" * 9_000, items=list(range(900)), nul="a\0b")
    assert len(entry.data["note"]) == 2_001
    assert len(entry.data["items"]) == 200
    assert entry.data["nul"] == "a\ufffdb"
    assert trail_check().is_right


def test_what_concerns_a_person_stands_where_the_person_belongs(cast: Cast) -> None:
    for person, chains in (
        (cast.max, [cast.acme.pk]),
        (cast.oskar, [None]),
        (User.objects.create_user("nora@nowhere.test"), [None]),
    ):
        audit.record_of_person(actor=person, action="session.start", person=person)
        found = AuditEntry.objects.filter(action="session.start", actor=person)
        assert [entry.organization_id for entry in found] == chains


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tenants_auditentry SELECT * FROM tenants_auditentry LIMIT 1",
        "UPDATE tenants_auditentry SET action = 'x'",
        "DELETE FROM tenants_auditentry",
        "INSERT INTO tenants_audithead (chain, seq, hash) VALUES (gen_random_uuid(), 1, '')",
        "UPDATE tenants_audithead SET seq = 1",
        "DELETE FROM tenants_audithead",
    ],
)
def test_the_database_refuses_every_other_way(statement: str, cast: Cast) -> None:
    for standing in (LOGIN, STAFF, member(cast.acme.pk)):
        with (
            standing_as(standing),
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
        ):
            sql(statement)
    with (
        standing_as(OWNER),
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
    ):
        sql(statement)


@pytest.mark.parametrize("table", ["tenants_auditentry", "tenants_audithead"])
def test_the_database_refuses_to_empty_the_trail(table: str, cast: Cast) -> None:
    with standing_as(OWNER):
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        with pytest.raises(IntegrityError, match="TRUNCATE refused"), transaction.atomic():
            sql(f"TRUNCATE {table} CASCADE")


def test_a_role_that_may_call_the_function_and_read_needs_no_more(cast: Cast) -> None:
    """That of the pages, which also puts on record what concerns other organizations."""
    with standing_as(member(cast.acme.pk)):
        entry = audit.record(actor=None, action="x.y", target=cast.acme, organization=cast.acme)
        audit.record(actor=None, action="x.y", target=cast.rival, organization=cast.rival)
    assert entry.seq == 6
    assert trail_check().is_right


def test_an_act_that_fails_leaves_no_entry(cast: Cast) -> None:
    before = AuditEntry.objects.count()
    with transaction.atomic():
        entry_of(cast)
        transaction.set_rollback(True)
    assert AuditEntry.objects.count() == before
    entry_of(cast)
    assert trail_check().is_right


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_make_one_chain(cast: Cast) -> None:
    def write(writer: int) -> None:
        for number in range(10):
            project(cast.olivia, cast.acme, f"{writer} {number}")
        connection.close()

    writers = [Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert AuditHead.objects.for_organization(cast.acme).get().seq == 45
    assert trail_check().is_right


def test_entries_of_before_the_chains_are_chained_by_the_migration(cast: Cast) -> None:
    migration = import_module("tenants.migrations.0005_audit_chain")
    with standing_as(OWNER):
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("SET LOCAL session_replication_role = replica")
        sql("ALTER TABLE tenants_auditentry DROP CONSTRAINT audit_entry_seq_unique")
        sql("UPDATE tenants_auditentry SET seq = 0, prev = '', hash = '', body = ''")
        sql("UPDATE tenants_auditentry SET personal = '{}'")
        sql("DELETE FROM tenants_audithead")
        assert not trail_check().is_right
        sql(migration.CHAIN_WHAT_IS_THERE)
    looked = trail_check()
    assert looked.findings == []
    assert looked.heads[cast.acme.pk].seq == 5
