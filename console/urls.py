"""The map of the site. A page's url name is its view's name and its row in `console.access`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from console.views import (
    account,
    admin_keys,
    audit,
    billing,
    billing_costs,
    billing_invoices,
    billing_plan,
    billing_profile,
    billing_statement,
    billing_top_up,
    budgets,
    docs,
    home,
    invitations,
    key,
    keys,
    leaked_keys,
    limits,
    mailbox,
    members,
    models,
    organization,
    playground,
    pricing,
    projects,
    requests,
    site,
    sso,
    stripe,
    usage,
)
from console.views.operator import audit as operator_audit
from console.views.operator import (
    backend,
    backends,
    credit,
    deployments,
    explorer,
    lifecycle,
    metering,
    organizations,
    overview,
    placement,
    queues,
    regions,
    routing,
    sign_up,
    staff,
    waiting,
)
from console.views.operator import limits as operator_limits
from console.views.operator import model as operator_model
from console.views.operator import models as operator_models
from console.views.operator import money as operator_money
from console.views.operator import requests as operator_requests

probes = [
    path("healthz", site.healthz, name="healthz"),
    path("readyz", site.readyz, name="readyz"),
    path("metrics", site.metrics, name="metrics"),
]

customer = [
    path("", home.org_home, name="org_home"),
    path("closed/", organization.org_closed, name="org_closed"),
    path("settings/", organization.org_settings, name="org_settings"),
    path("settings/archive/", organization.org_archive, name="org_archive"),
    path("settings/restore/", organization.org_restore, name="org_restore"),
    path("settings/delete/", organization.org_delete, name="org_delete"),
    path("members/", members.members, name="members"),
    path("members/leave/", members.member_leave, name="member_leave"),
    path("members/invite/", members.invitation_create, name="invitation_create"),
    path("members/hand-over/", members.ownership_offer, name="ownership_offer"),
    path("members/hand-over/answer/", members.ownership_answer, name="ownership_answer"),
    path("members/<int:member>/role/", members.member_role, name="member_role"),
    path("members/<int:member>/remove/", members.member_remove, name="member_remove"),
    path(
        "invitations/<uuid:invitation>/send-again/",
        members.invitation_send_again,
        name="invitation_send_again",
    ),
    path(
        "invitations/<uuid:invitation>/revoke/",
        members.invitation_revoke,
        name="invitation_revoke",
    ),
    path("projects/", projects.projects, name="projects"),
    path("projects/create/", projects.project_create, name="project_create"),
    path("projects/<uuid:project>/", projects.project, name="project"),
    path("projects/<uuid:project>/rename/", projects.project_rename, name="project_rename"),
    path("projects/<uuid:project>/archive/", projects.project_archive, name="project_archive"),
    path("projects/<uuid:project>/restore/", projects.project_restore, name="project_restore"),
    path(
        "projects/<uuid:project>/service-accounts/add/",
        projects.service_account_create,
        name="service_account_create",
    ),
    path(
        "service-accounts/<uuid:account>/archive/",
        projects.service_account_archive,
        name="service_account_archive",
    ),
    path("keys/", keys.keys, name="keys"),
    path("keys/create/", keys.key_create, name="key_create"),
    path("keys/revoke/", keys.keys_revoke, name="keys_revoke"),
    path("keys/policy/", keys.keys_policy, name="keys_policy"),
    path("keys/<uuid:key>/", key.key_detail, name="key_detail"),
    path("keys/<uuid:key>/edit/", key.key_edit, name="key_edit"),
    path("keys/<uuid:key>/rotate/", key.key_rotate, name="key_rotate"),
    path("keys/<uuid:key>/end-retiring/", key.key_retiring_end, name="key_retiring_end"),
    path("keys/<uuid:key>/revoke/", key.key_revoke, name="key_revoke"),
    path("keys/<uuid:key>/first-request/", key.key_first_request, name="key_first_request"),
    path("admin-keys/", admin_keys.admin_keys, name="admin_keys"),
    path("admin-keys/create/", admin_keys.admin_key_create, name="admin_key_create"),
    path("admin-keys/<uuid:key>/revoke/", admin_keys.admin_key_revoke, name="admin_key_revoke"),
    path("playground/", playground.playground, name="playground"),
    path("playground/embeddings/", playground.playground_embeddings, name="playground_embeddings"),
    path("playground/rerank/", playground.playground_rerank, name="playground_rerank"),
    path(
        "playground/transcription/",
        playground.playground_transcription,
        name="playground_transcription",
    ),
    path("usage/", usage.usage, name="usage"),
    path("usage.csv", usage.usage_csv, name="usage_csv"),
    path("requests/", requests.requests, name="requests"),
    path("requests.csv", requests.requests_csv, name="requests_csv"),
    path("requests/<uuid:request_id>/", requests.request_detail, name="request_detail"),
    path("sign-on/", sso.sign_on, name="sign_on"),
    path("sign-on/second-factor/", sso.second_factor_rule, name="second_factor_rule"),
    path("sign-on/provider/", sso.sso_provider, name="sso_provider"),
    path("sign-on/provider/remove/", sso.sso_remove, name="sso_remove"),
    path("sign-on/provider/enforce/", sso.sso_enforce, name="sso_enforce"),
    path("sign-on/domains/add/", sso.sso_domain_add, name="sso_domain_add"),
    path("sign-on/domains/<uuid:domain>/verify/", sso.sso_domain_verify, name="sso_domain_verify"),
    path("sign-on/domains/<uuid:domain>/remove/", sso.sso_domain_remove, name="sso_domain_remove"),
    path("limits/", limits.limits, name="limits"),
    path("limits/add/", limits.limit_add, name="limit_add"),
    path("limits/<uuid:limit>/remove/", limits.limit_remove, name="limit_remove"),
    path("budgets/", budgets.budgets, name="budgets"),
    path("budgets/add/", budgets.budget_add, name="budget_add"),
    path("budgets/seen/", budgets.budget_alerts_seen, name="budget_alerts_seen"),
    path("budgets/<uuid:budget>/edit/", budgets.budget_edit, name="budget_edit"),
    path("budgets/<uuid:budget>/remove/", budgets.budget_remove, name="budget_remove"),
    path("billing/", billing.billing, name="billing"),
    path("billing/costs/", billing_costs.costs, name="costs"),
    path("billing/costs.csv", billing_costs.costs_csv, name="costs_csv"),
    path("billing/statement/", billing_statement.statement, name="statement"),
    path("billing/statement.csv", billing_statement.statement_csv, name="statement_csv"),
    path("billing/invoices/", billing_invoices.invoices, name="invoices"),
    path("billing/invoices/<uuid:invoice>/", billing_invoices.invoice, name="invoice"),
    *(
        path(f"billing/invoices/<uuid:invoice>/{tail}", view, name=view.__name__)
        for tail, view in (
            ("invoice.pdf", billing_invoices.invoice_pdf),
            ("usage.csv", billing_invoices.invoice_usage),
            ("invoice.json", billing_invoices.invoice_bundle),
        )
    ),
    path(
        "billing/credit-notes/<uuid:note>.pdf",
        billing_invoices.credit_note_pdf,
        name="credit_note_pdf",
    ),
    path("billing/address/", billing_profile.billing_profile, name="billing_profile"),
    path("billing/top-up/", billing_top_up.top_up, name="top_up"),
    path("billing/top-up/<uuid:payment>/", billing_top_up.top_up_payment, name="top_up_payment"),
    path(
        "billing/top-up/<uuid:payment>/confirm/",
        billing_top_up.payment_confirm,
        name="payment_confirm",
    ),
    path("billing/top-up/automatic/", billing_top_up.auto_top_up, name="auto_top_up"),
    path("billing/payment-method/", billing_top_up.payment_method, name="payment_method"),
    path("billing/plan/", billing_plan.plan, name="plan"),
    path("billing/plan/<slug:plan>/", billing_plan.plan_choose, name="plan_choose"),
    path("audit/", audit.audit, name="audit"),
    path("audit.jsonl", audit.audit_export, name="audit_export"),
    path("models/", models.models, name="models"),
    path("docs/", docs.org_docs, name="org_docs"),
    path("docs/<slug:page>/", docs.org_docs_page, name="org_docs_page"),
    path("models/<path:model>/", models.model, name="model"),
]

documentation = [
    path("docs/", docs.docs, name="docs"),
    path("docs/<slug:page>/", docs.docs_page, name="docs_page"),
    path("docs/<slug:page>.md", docs.docs_markdown, name="docs_markdown"),
    path("openapi.json", docs.openapi, name="openapi"),
    path("llms.txt", docs.llms_txt, name="llms_txt"),
    path("gitleaks.toml", leaked_keys.gitleaks, name="gitleaks"),
    path("verify_invoice.py", billing_invoices.verify_invoice, name="verify_invoice"),
    path("leaked-key/", leaked_keys.leaked_key, name="leaked_key"),
]

operator = [
    path("", overview.operator_overview, name="operator_overview"),
    path("organizations/", organizations.operator_organizations, name="operator_organizations"),
    path(
        "organizations/add/",
        organizations.operator_organization_add,
        name="operator_organization_add",
    ),
    path("organizations/waiting/", waiting.operator_waiting, name="operator_waiting"),
    path(
        "organizations/waiting/rule/", waiting.operator_waiting_rule, name="operator_waiting_rule"
    ),
    path("organizations/waiting/sign-up/", sign_up.operator_sign_up, name="operator_sign_up"),
    *(
        path(f"organizations/<slug:org>/{tail}/", view, name=view.__name__)
        for tail, view in (
            ("approve", waiting.operator_waiting_approve),
            ("refuse", waiting.operator_waiting_refuse),
            ("suspend", lifecycle.operator_organization_suspend),
            ("lift", lifecycle.operator_organization_lift),
            ("delete", lifecycle.operator_organization_delete),
            ("restore", lifecycle.operator_organization_restore),
            ("members/<int:member>/see", lifecycle.operator_impersonate),
        )
    ),
    path("see/end/", lifecycle.impersonation_end, name="impersonation_end"),
    path("staff/", staff.operator_staff, name="operator_staff"),
    path("staff/add/", staff.operator_staff_add, name="operator_staff_add"),
    path("staff/<int:user>/role/", staff.operator_staff_role, name="operator_staff_role"),
    path("staff/<int:user>/remove/", staff.operator_staff_remove, name="operator_staff_remove"),
    path(
        "organizations/<slug:org>/",
        organizations.operator_organization,
        name="operator_organization",
    ),
    path(
        "organizations/<slug:org>/terms/",
        credit.operator_organization_terms,
        name="operator_organization_terms",
    ),
    path(
        "organizations/<slug:org>/payment/",
        credit.operator_organization_payment,
        name="operator_organization_payment",
    ),
    path(
        "organizations/<slug:org>/grant/",
        credit.operator_organization_grant,
        name="operator_organization_grant",
    ),
    path(
        "organizations/<slug:org>/month/",
        credit.operator_organization_month,
        name="operator_organization_month",
    ),
    path(
        "organizations/<slug:org>/routing/",
        placement.operator_organization_routing,
        name="operator_organization_routing",
    ),
    path(
        "organizations/<slug:org>/audit/",
        operator_audit.operator_organization_audit,
        name="operator_organization_audit",
    ),
    path(
        "organizations/<slug:org>/audit.jsonl",
        operator_audit.operator_organization_audit_export,
        name="operator_organization_audit_export",
    ),
    path(
        "organizations/<slug:org>/reason/", operator_audit.operator_reason, name="operator_reason"
    ),
    path("audit/", operator_audit.operator_audit, name="operator_audit"),
    path("audit.jsonl", operator_audit.operator_audit_export, name="operator_audit_export"),
    path("backends/", backends.operator_backends, name="operator_backends"),
    path("backends/add/", backends.operator_backend_add, name="operator_backend_add"),
    path("backends/<slug:backend>/", backend.operator_backend, name="operator_backend"),
    path(
        "backends/<slug:backend>/edit/",
        backend.operator_backend_edit,
        name="operator_backend_edit",
    ),
    path(
        "backends/<slug:backend>/test/",
        backends.operator_backend_test,
        name="operator_backend_test",
    ),
    path(
        "backends/<slug:backend>/state/",
        backends.operator_backend_state,
        name="operator_backend_state",
    ),
    path("requests/", operator_requests.operator_requests, name="operator_requests"),
    path("requests.csv", operator_requests.operator_requests_csv, name="operator_requests_csv"),
    path(
        "requests/<uuid:request_id>/", operator_requests.operator_request, name="operator_request"
    ),
    path("usage/", explorer.operator_explorer, name="operator_explorer"),
    path("usage.csv", explorer.operator_explorer_csv, name="operator_explorer_csv"),
    path("metering/", metering.operator_metering, name="operator_metering"),
    path("metering/retry/", metering.operator_dead_retry, name="operator_dead_retry"),
    path(
        "metering/halts/<int:halt>/release/",
        metering.operator_model_release,
        name="operator_model_release",
    ),
    path("limits/", operator_limits.operator_limits, name="operator_limits"),
    path(
        "limits/<uuid:limit>/remove/",
        operator_limits.operator_limit_remove,
        name="operator_limit_remove",
    ),
    path(
        "organizations/<slug:org>/limits/",
        operator_limits.operator_organization_limits,
        name="operator_organization_limits",
    ),
    path("queues/", queues.operator_queues, name="operator_queues"),
    path("regions/add/", regions.operator_region_add, name="operator_region_add"),
    path("models/", operator_models.operator_models, name="operator_models"),
    path("models/add/", operator_models.operator_model_add, name="operator_model_add"),
    path(
        "models/add/catalog/",
        operator_models.operator_model_catalog,
        name="operator_model_catalog",
    ),
    *(
        path(f"models/<path:model>/{tail}/", view, name=view.__name__)
        for tail, view in (
            ("edit", operator_model.operator_model_edit),
            ("card", operator_model.operator_model_card),
            ("status", operator_model.operator_model_status),
            ("visibility", operator_model.operator_model_visibility),
            ("enabled", operator_model.operator_model_enabled),
            ("rates", operator_model.operator_model_rates),
            ("routing", routing.operator_model_routing),
            ("deployments/add", deployments.operator_deployment_add),
        )
    ),
    path("models/<path:model>/", operator_model.operator_model, name="operator_model"),
    path("routing/", routing.operator_routing, name="operator_routing"),
    path("routing/try/", routing.operator_routing_try, name="operator_routing_try"),
    path("deployments/", deployments.operator_deployments, name="operator_deployments"),
    path(
        "deployments/<int:deployment>/",
        deployments.operator_deployment_edit,
        name="operator_deployment_edit",
    ),
    path(
        "deployments/<int:deployment>/remove/",
        deployments.operator_deployment_remove,
        name="operator_deployment_remove",
    ),
]

urlpatterns = [
    *probes,
    *documentation,
    path("pricing/", pricing.pricing, name="pricing"),
    path("", site.home, name="home"),
    path("theme/", site.theme, name="theme"),
    path("organizations/create/", organization.organization_create, name="organization_create"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    path("account/", account.account, name="account"),
    path(
        "account/sessions/<int:session>/end/",
        account.account_session_end,
        name="account_session_end",
    ),
    path("account/sso/", sso.sso_start, name="sso_start"),
    path("account/", include("allauth.urls")),
    path("mailbox/", mailbox.mailbox, name="mailbox"),
    path("stripe/webhook/", stripe.stripe_webhook, name="stripe_webhook"),
    path("api/v1/", include("console.api.urls")),
    path("o/<slug:org>/", include(customer)),
    path("operator/", include([*operator, *operator_money.urls])),
    path("admin/", admin.site.urls),
]

handler403 = site.permission_denied
handler500 = site.server_error
