"""Every page that a person can open, in both themes and two widths: policy, access and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

from console.access import ACCESS
from tests.conftest import Cast
from tests.e2e.conftest import LogIn, screenshots

pytestmark = pytest.mark.django_db

AXE: Final = (Path(__file__).parent / "vendor/axe.min.js").read_text()
LOOKS: Final = {
    ("light", 1440): "{resultTypes: ['violations'], preload: false}",
    ("dark", 390): "{resultTypes: ['violations'], preload: false, "
    "runOnly: ['color-contrast', 'scrollable-region-focusable']}",
}
"""Each theme and each width once. Axe, which takes longest by far, is asked for all of its rules at
one of them, and at the other for what theme and width change.
"""
ALL_LOOKS: Final = [(theme, width) for theme in ("light", "dark") for width in (1440, 390)]
"""Where pictures are wanted."""

PAGES: Final[dict[str, tuple[str, str]]] = {
    # name: who opens it, and its address
    "login": ("", "/account/login/"),
    "password reset": ("", "/account/password/reset/"),
    "password reset done": ("", "/account/password/reset/done/"),
    "password link spent": ("", "/account/password/reset/key/1-spent/"),
    "password changed": ("", "/account/password/reset/key/done/"),
    "sign-up closed": ("", "/account/signup/"),
    "logout": ("olivia", "/account/logout/"),
    "account": ("olivia", "/account/"),
    "mailbox": ("", "/mailbox/"),
    "sso_start": ("", "/account/sso/"),
    "sign_on": ("olivia", "/o/acme/sign-on/"),
    "sso_provider": ("olivia", "/o/acme/sign-on/provider/"),
    "sso_remove": ("olivia", "/o/acme/sign-on/provider/remove/"),
    "sso_domain_add": ("olivia", "/o/acme/sign-on/domains/add/"),
    "home without organization": ("nora", "/"),
    "organization_create": ("nora", "/organizations/create/"),
    "invitation": ("", "/invitations/{invitation}/"),
    "invitation, unknown": ("", "/invitations/x/"),
    "org_closed": ("wanda", "/o/wanda/closed/"),
    "org_home, suspended": ("sam", "/o/sunk/"),
    "org_home, looked at": ("sara", "/o/acme/"),
    "org_settings": ("olivia", "/o/acme/settings/"),
    "org_archive": ("olivia", "/o/acme/settings/archive/"),
    "org_restore": ("olivia", "/o/acme/settings/restore/"),
    "org_delete": ("olivia", "/o/acme/settings/delete/"),
    "members": ("olivia", "/o/acme/members/"),
    "members, to manage none": ("max", "/o/acme/members/"),
    "member_role": ("olivia", "/o/acme/members/{member}/role/"),
    "member_remove": ("olivia", "/o/acme/members/{member}/remove/"),
    "member_leave": ("olivia", "/o/acme/members/leave/"),
    "invitation_create": ("olivia", "/o/acme/members/invite/"),
    "not with this role": ("max", "/o/acme/members/invite/"),
    "ownership_offer": ("olivia", "/o/acme/members/hand-over/"),
    "ownership_answer": ("max", "/o/acme/members/hand-over/answer/"),
    "projects": ("olivia", "/o/acme/projects/"),
    "projects, archived": ("olivia", "/o/acme/projects/?state=archived"),
    "project_create": ("olivia", "/o/acme/projects/create/"),
    "project": ("olivia", "/o/acme/projects/{project}/"),
    "project_rename": ("olivia", "/o/acme/projects/{project}/rename/"),
    "project_archive": ("olivia", "/o/acme/projects/{project}/archive/"),
    "project_restore": ("olivia", "/o/acme/projects/{project}/restore/"),
    "service_account_create": ("olivia", "/o/acme/projects/{project}/service-accounts/add/"),
    "service_account_archive": ("olivia", "/o/acme/service-accounts/{account}/archive/"),
    "not found": ("olivia", "/nothing/"),
    "org_home": ("olivia", "/o/acme/"),
    "org_home, nothing yet": ("rita", "/o/rival/"),
    "keys": ("olivia", "/o/acme/keys/"),
    "keys, revoked": ("olivia", "/o/acme/keys/?state=revoked"),
    "keys, none revoked": ("rita", "/o/rival/keys/?state=revoked"),
    "keys_revoke": ("olivia", "/o/acme/keys/revoke/?unused=90"),
    "keys_revoke, none": ("rita", "/o/rival/keys/revoke/?unused=90"),
    "key_create": ("olivia", "/o/acme/keys/create/"),
    "key_detail": ("olivia", "/o/acme/keys/{key}/"),
    "key_detail, scoped": ("olivia", "/o/acme/keys/{scoped}/"),
    "key_edit": ("olivia", "/o/acme/keys/{scoped}/edit/"),
    "key_rotate": ("olivia", "/o/acme/keys/{scoped}/rotate/"),
    "key_revoke": ("olivia", "/o/acme/keys/{key}/revoke/"),
    "admin_keys": ("olivia", "/o/acme/admin-keys/"),
    "admin_keys, none": ("rita", "/o/rival/admin-keys/"),
    "admin_key_create": ("olivia", "/o/acme/admin-keys/create/"),
    "admin_key_revoke": ("olivia", "/o/acme/admin-keys/{admin}/revoke/"),
    "leaked_key": ("", "/leaked-key/"),
    "usage": ("olivia", "/o/acme/usage/"),
    "usage by key, tokens": ("olivia", "/o/acme/usage/?group=api_key&measure=tokens&days=7"),
    "usage by hour": ("olivia", "/o/acme/usage/?from={today}&to={today}&measure=requests"),
    "usage, nothing yet": ("rita", "/o/rival/usage/"),
    "usage, empty range": ("olivia", "/o/acme/usage/?from=2020-01-01&to=2020-01-07"),
    "usage, bad range": ("olivia", "/o/acme/usage/?from=2026-02-01&to=2026-01-01"),
    "requests": ("olivia", "/o/acme/requests/"),
    "requests, found": ("olivia", "/o/acme/requests/?range=7d&outcome=client_disconnect"),
    "requests, none match": ("olivia", "/o/acme/requests/?q=nothing"),
    "requests, nothing yet": ("rita", "/o/rival/requests/"),
    "requests, bad range": ("olivia", "/o/acme/requests/?from=2026-02-01&to=2026-01-01"),
    "request_detail": ("olivia", "/o/acme/requests/{request}/"),
    "request_detail, not booked": ("rita", "/o/rival/requests/{fresh}/"),
    "playground": ("olivia", "/o/acme/playground/"),
    "playground, two models": ("olivia", "/o/acme/playground/?other=qwen3-32b"),
    "playground_embeddings": ("olivia", "/o/acme/playground/embeddings/"),
    "playground_rerank": ("olivia", "/o/acme/playground/rerank/"),
    "playground_transcription": ("olivia", "/o/acme/playground/transcription/"),
    "limits": ("olivia", "/o/acme/limits/"),
    "limits, none": ("rita", "/o/rival/limits/"),
    "limit_add": ("olivia", "/o/acme/limits/add/"),
    "budgets": ("olivia", "/o/acme/budgets/"),
    "budgets, none": ("rita", "/o/rival/budgets/"),
    "budget_add": ("olivia", "/o/acme/budgets/add/"),
    "billing": ("olivia", "/o/acme/billing/"),
    "billing, nothing yet": ("rita", "/o/rival/billing/"),
    "costs": ("olivia", "/o/acme/billing/costs/?group=project"),
    "costs, last month": ("olivia", "/o/acme/billing/costs/?span=last"),
    "costs, nothing yet": ("rita", "/o/rival/billing/costs/"),
    "costs, bad range": ("olivia", "/o/acme/billing/costs/?from=2026-02-01&to=2026-01-01"),
    "statement": ("olivia", "/o/acme/billing/statement/"),
    "invoices": ("olivia", "/o/acme/billing/invoices/"),
    "invoices, none": ("rita", "/o/rival/billing/invoices/"),
    "invoice": ("olivia", "/o/acme/billing/invoices/{invoice}/"),
    "invoice, top-up": ("olivia", "/o/acme/billing/invoices/{bought}/"),
    "billing_profile": ("olivia", "/o/acme/billing/address/"),
    "top_up": ("olivia", "/o/acme/billing/top-up/?amount=100"),
    "top_up, no address": ("rita", "/o/rival/billing/top-up/"),
    "top_up_payment": ("olivia", "/o/acme/billing/top-up/{payment}/"),
    "auto_top_up": ("olivia", "/o/acme/billing/top-up/automatic/"),
    "plan": ("olivia", "/o/acme/billing/plan/"),
    "plan_choose": ("olivia", "/o/acme/billing/plan/scale/"),
    "audit": ("olivia", "/o/acme/audit/"),
    "audit, none match": ("olivia", "/o/acme/audit/?q=nothing"),
    "audit, bad range": ("olivia", "/o/acme/audit/?from=2026-02-01&to=2026-01-01"),
    "models": ("olivia", "/o/acme/models/"),
    "models, found": ("olivia", "/o/acme/models/?q=whisper&task=transcription"),
    "models, none like this": ("rita", "/o/rival/models/?q=gemma"),
    "model": ("olivia", "/o/acme/models/gpt-oss-120b/"),
    "model, deprecated": ("olivia", "/o/acme/models/llama-3.3-70b/"),
    "model, speech": ("olivia", "/o/acme/models/kb-whisper-large/"),
    "docs_page": ("", "/docs/quickstart/"),
    "org_docs_page": ("olivia", "/o/acme/docs/quickstart/"),
    "operator_overview": ("oskar", "/operator/"),
    "operator_organizations": ("oskar", "/operator/organizations/"),
    "operator_organization_add": ("oskar", "/operator/organizations/add/"),
    "operator_organization": ("oskar", "/operator/organizations/acme/"),
    "operator_waiting": ("oskar", "/operator/organizations/waiting/"),
    "operator_waiting_approve": ("oskar", "/operator/organizations/wanda/approve/"),
    "operator_waiting_refuse": ("oskar", "/operator/organizations/wanda/refuse/"),
    "operator_organization_suspend": ("oskar", "/operator/organizations/acme/suspend/"),
    "operator_organization_lift": ("oskar", "/operator/organizations/sunk/lift/"),
    "operator_organization_delete": ("oskar", "/operator/organizations/acme/delete/"),
    "operator_organization_restore": ("oskar", "/operator/organizations/acme/restore/"),
    "operator_impersonate": ("oskar", "/operator/organizations/acme/members/{member}/see/"),
    "operator_staff": ("oskar", "/operator/staff/"),
    "operator_staff_add": ("oskar", "/operator/staff/add/"),
    "operator_staff_role": ("oskar", "/operator/staff/{staff}/role/"),
    "operator_staff_remove": ("oskar", "/operator/staff/{staff}/remove/"),
    "operator_audit": ("oskar", "/operator/audit/"),
    "operator_reason": ("oskar", "/operator/organizations/rival/reason/"),
    "operator_organization_routing": ("oskar", "/operator/organizations/acme/routing/"),
    "operator_organization_terms": ("oskar", "/operator/organizations/acme/terms/"),
    "operator_organization_payment": ("oskar", "/operator/organizations/acme/payment/"),
    "operator_organization_grant": ("oskar", "/operator/organizations/acme/grant/"),
    "operator_requests": ("oskar", "/operator/requests/"),
    "operator_request": ("oskar", "/operator/requests/{request}/"),
    "operator_explorer": ("oskar", "/operator/usage/"),
    "operator_explorer, over time": ("oskar", "/operator/usage/?rows=day&columns=api_key"),
    "operator_explorer, none": ("oskar", "/operator/usage/?model=nothing"),
    "operator_metering": ("oskar", "/operator/metering/"),
    "operator_limits": ("oskar", "/operator/limits/"),
    "operator_organization_limits": ("oskar", "/operator/organizations/acme/limits/"),
    "operator_plans": ("oskar", "/operator/plans/"),
    "operator_plan_add": ("oskar", "/operator/plans/add/"),
    "operator_plan": ("oskar", "/operator/plans/build/"),
    "operator_backends": ("oskar", "/operator/backends/"),
    "operator_backend": ("oskar", "/operator/backends/lulea-gpu-01/"),
    "operator_backend, breaker open": ("oskar", "/operator/backends/lulea-gpu-02/?range=6h"),
    "operator_backend, not answering": ("oskar", "/operator/backends/lulea-gpu-03/"),
    "operator_backend_edit": ("oskar", "/operator/backends/lulea-gpu-01/edit/"),
    "operator_queues": ("oskar", "/operator/queues/"),
    "operator_backend_add": ("oskar", "/operator/backends/add/"),
    "operator_region_add": ("oskar", "/operator/regions/add/"),
    "operator_model_add": ("oskar", "/operator/models/add/"),
    "operator_model_add from catalog": ("oskar", "/operator/models/add/?from=whisper-large-v3"),
    "operator_model_catalog": ("oskar", "/operator/models/add/catalog/"),
    "operator_models": ("oskar", "/operator/models/"),
    "operator_model": ("oskar", "/operator/models/gpt-oss-120b/"),
    "operator_model, speech": ("oskar", "/operator/models/kb-whisper-large/"),
    "operator_model_edit": ("oskar", "/operator/models/gpt-oss-120b/edit/"),
    "operator_model_card": ("oskar", "/operator/models/gpt-oss-120b/card/"),
    "operator_model_status": ("oskar", "/operator/models/llama-3.3-70b/status/"),
    "operator_model_visibility": ("oskar", "/operator/models/gemma-3-27b/visibility/"),
    "operator_deployments": ("oskar", "/operator/deployments/"),
    "operator_deployment_add": ("oskar", "/operator/models/gpt-oss-120b/deployments/add/"),
    "operator_model_rates": ("oskar", "/operator/models/gpt-oss-120b/rates/"),
    "operator_model_routing": ("oskar", "/operator/models/gpt-oss-120b/routing/"),
    "operator_routing": ("oskar", "/operator/routing/"),
    "operator_routing_try": ("oskar", "/operator/routing/try/?organization=acme"),
    "operator_routing, none like this": ("oskar", "/operator/routing/?q=nothing"),
    "pricing": ("", "/pricing/"),
    "pricing, none like this": ("", "/pricing/?q=nothing"),
    "operator_revenue": ("oskar", "/operator/revenue/"),
    "operator_revenue, by month": ("oskar", "/operator/revenue/?by=month"),
    "operator_backend_cost": ("oskar", "/operator/backends/lulea-gpu-01/cost/"),
    "operator_prices": ("oskar", "/operator/prices/"),
    "operator_price_book": ("oskar", "/operator/prices/list/"),
    "operator_price_book, own": ("oskar", "/operator/prices/acme/"),
    "operator_price_book_add": ("oskar", "/operator/prices/add/"),
    "operator_price_book_edit": ("oskar", "/operator/prices/acme/edit/"),
    "operator_price_tiers": ("oskar", "/operator/prices/acme/discounts/"),
    "operator_price": ("oskar", "/operator/prices/list/models/gpt-oss-120b/"),
    "operator_organization_plan": ("oskar", "/operator/organizations/acme/plan/"),
    "operator_organization_book": ("oskar", "/operator/organizations/acme/book/"),
    "operator_organization_currency": ("oskar", "/operator/organizations/acme/currency/"),
    "operator_organization_vat": ("oskar", "/operator/organizations/acme/vat/"),
    "operator_exchange_rates": ("oskar", "/operator/vat/rates/"),
    "operator_exchange_rate_add": ("oskar", "/operator/vat/rates/add/"),
    "operator_organization_month": ("oskar", "/operator/organizations/acme/month/"),
    "operator_invoices": ("oskar", "/operator/invoices/"),
    "operator_invoices, none": ("oskar", "/operator/invoices/?state=halted"),
    "operator_invoice": ("oskar", "/operator/invoices/{invoice}/"),
    "operator_invoice_finalise": ("oskar", "/operator/invoices/{invoice}/finalise/"),
    "operator_invoice_release": ("oskar", "/operator/invoices/{invoice}/release/"),
    "operator_invoice_void": ("oskar", "/operator/invoices/{invoice}/void/"),
    "operator_invoice_write_off": ("oskar", "/operator/invoices/{invoice}/write-off/"),
    "operator_invoice_payment": ("oskar", "/operator/invoices/{invoice}/payment/"),
    "operator_credit_note": ("oskar", "/operator/invoices/{invoice}/credit-note/"),
    "operator_vat": ("oskar", "/operator/vat/"),
    "operator_payments": ("oskar", "/operator/payments/"),
    "operator_payments, none": ("oskar", "/operator/payments/?state=failed"),
    "operator_payment": ("oskar", "/operator/payments/{payment}/"),
    "operator_payment_refund": ("oskar", "/operator/payments/{payment}/refund/"),
    "operator_payment_excess": ("oskar", "/operator/payments/{payment}/excess/"),
    "operator_dunning": ("oskar", "/operator/payments/late/"),
    "operator_stripe": ("oskar", "/operator/stripe/"),
    "operator_outbox_item": ("oskar", "/operator/stripe/calls/{call}/"),
    "operator_webhooks": ("oskar", "/operator/stripe/webhooks/"),
    "operator_webhook": ("oskar", "/operator/stripe/webhooks/evt_1/"),
    "operator_reconciliation": ("oskar", "/operator/stripe/reconciliation/"),
    "operator_books": ("oskar", "/operator/books/"),
    "operator_accounts": ("oskar", "/operator/books/accounts/"),
    "operator_transfers": ("oskar", "/operator/books/transfers/"),
    "operator_transfers, account": ("oskar", "/operator/books/transfers/?account={account_of}"),
    "operator_transfer": ("oskar", "/operator/books/transfers/{transfer}/"),
    "operator_transfer_events": ("oskar", "/operator/books/transfers/{transfer}/requests/"),
}
NO_PAGE: Final = {
    # not HTML, or only a POST, or a redirect
    "invitation_send_again", "invitation_revoke", "operator_waiting_rule", "impersonation_end",
    "healthz", "readyz", "metrics", "theme", "home", "account_session_end",
    "operator_sign_up", "second_factor_rule", "sso_enforce", "sso_domain_verify",
    "sso_domain_remove", "usage_csv", "key_first_request", "keys_policy", "key_retiring_end",
    "gitleaks",
    "audit_export", "operator_audit_export", "operator_organization_audit",
    "operator_organization_audit_export", "requests_csv", "operator_requests_csv",
    "operator_explorer_csv", "operator_dead_retry",
    "operator_model_release",
    "docs", "org_docs", "docs_markdown", "openapi", "llms_txt",
    "operator_backend_test", "operator_backend_state", "operator_model_enabled",
    "operator_deployment_edit", "operator_deployment_remove", "operator_limit_remove",
    "limit_remove", "budget_edit", "budget_remove", "budget_alerts_seen",
    "costs_csv", "statement_csv", "invoice_pdf", "invoice_usage", "invoice_bundle",
    "credit_note_pdf", "payment_confirm", "payment_method", "verify_invoice",
    "operator_books_check", "operator_rate_approve", "operator_rate_withdraw",
    "operator_invoice_pdf", "operator_invoice_usage", "operator_credit_note_pdf",
    "operator_vat_csv", "operator_refund_again", "operator_outbox_retry",
    "operator_webhook_replay", "stripe_webhook",
}  # fmt: skip


def test_every_page_of_the_access_table_is_opened_here() -> None:
    assert set(ACCESS) - NO_PAGE <= set(PAGES)


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_in_every_look(name: str, people: Cast, context_of: LogIn) -> None:
    who, address = PAGES[name]
    page = context_of(who).new_page()
    faults = listen(page)
    opened = page.goto(_filled(address, people))
    assert opened is not None
    assert opened.status < 500
    assert "script-src 'self'" in (opened.all_headers()["content-security-policy"])

    look(page, name)

    assert faults == []


def _money(people: Cast) -> dict[str, Any]:
    from billing.models import Invoice, OutboxItem, Payment, Transfer

    payment = Payment.objects.for_organization(people.acme)[0]
    month = Invoice.objects.for_organization(people.acme).get(kind="usage")
    usage = Transfer.objects.filter(code="usage").latest("created_at")
    return {
        "payment": payment.pk,
        "bought": payment.invoice_id,
        "invoice": month.pk,
        "call": OutboxItem.objects.values_list("pk", flat=True)[0],
        "transfer": usage.pk,
        "account_of": usage.debit_id,
    }


def _filled(address: str, people: Cast) -> str:
    from django.utils import timezone
    from uuid_utils.compat import uuid7

    from billing.models import UsageEvent
    from tenants.invitations import token_mint
    from tenants.models import AdminKey, ApiKey, Invitation, ServiceAccount

    newest = UsageEvent.objects.for_organization(people.acme).first()
    keys = ApiKey.objects.for_organization(people.acme)
    invited = Invitation.objects.get(email="nina@acme.test")
    return address.format(
        invitation=token_mint(invited.pk, invited.serial),
        member=people.acme.memberships.get(user=people.max).pk,
        project=people.project.pk,
        account=ServiceAccount.objects.filter(archived_at=None)[0].pk,
        staff=people.oskar.pk,
        key=people.key.api_key.id,
        scoped=keys.get(name="kyc-service prod").pk if "{scoped}" in address else "",
        admin=AdminKey.objects.get().pk if "{admin}" in address else "",
        today=timezone.now().date(),
        **_money(people),
        request=newest.request_id if newest else "",
        fresh=uuid7(),
    )


def listen(page: Page) -> list[str]:
    """What goes wrong on `page` from now on: errors of scripts, the console and the policy."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", lambda entry: faults.append(entry.text) if _is_fault(entry) else None)
    return faults


def _is_fault(entry: Any) -> bool:
    """The browser reports the status of the page itself, too: error pages are meant."""
    return entry.type in {"error", "warning"} and "the server responded with" not in entry.text


def look(page: Page, name: str) -> None:
    """Assert that the open page is accessible, and fits in every theme and width."""
    page.evaluate("document.fonts.ready.then(() => 0)")
    for theme, width in ALL_LOOKS if screenshots() else LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(
            "theme => { document.documentElement.dataset.bsTheme = theme;"
            " dispatchEvent(new Event('themechange')) }",
            theme,
        )
        page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")
        save(page, f"{name}-{theme}-{width}")
        assert too_wide(page) == 0, f"{name} scrolls sideways at {width}"
        if options := LOOKS.get((theme, width)):
            assert axe(page, options) == [], f"{name} in {theme} at {width}"


def too_wide(page: Page) -> int:
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width


def axe(page: Page, options: str = LOOKS["light", 1440]) -> list[str]:
    """What axe finds, as `rule: element`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(
        f"axe.run({options})"
        ".then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html)))"
    )
    return found


def save(page: Page, name: str) -> None:
    if folder := screenshots():
        page.wait_for_timeout(250)
        page.screenshot(
            path=folder / f"{name.replace(', ', '-').replace(' ', '-')}.png", full_page=True
        )
