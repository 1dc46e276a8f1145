"""The audit trail in words: what each action was, and what became of each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import LimitKind, Mode, Period
from console.templatetags.ui import NONE, number
from tenants.models import AuditEntry

ACTIONS: Final = {
    "account.change_email": gettext_lazy("E-mail address changed"),
    "account.change_password": gettext_lazy("Password changed"),
    "account.confirm_email": gettext_lazy("E-mail address confirmed"),
    "account.remove_email": gettext_lazy("E-mail address removed"),
    "account.reset_password": gettext_lazy("Password reset by mail"),
    "account.set_name": gettext_lazy("Name changed"),
    "account.set_password": gettext_lazy("Password set"),
    "admin_key.create": gettext_lazy("Admin key created"),
    "admin_key.revoke": gettext_lazy("Admin key revoked"),
    "api_key.bulk_revoke": gettext_lazy("API keys revoked together"),
    "api_key.change": gettext_lazy("API key changed"),
    "api_key.create": gettext_lazy("API key created"),
    "api_key.end_retiring": gettext_lazy("Retiring secret of an API key ended"),
    "api_key.revoke": gettext_lazy("API key revoked"),
    "api_key.rotate": gettext_lazy("API key rotated"),
    "audit.export": gettext_lazy("Audit trail exported"),
    "auto_top_up.set": gettext_lazy("Automatic top-up set"),
    "auto_top_up.stop": gettext_lazy("Automatic top-up stopped"),
    "backend.move": gettext_lazy("Backend moved"),
    "backend.register": gettext_lazy("Backend added"),
    "backend.set_cost": gettext_lazy("Cost of a backend set"),
    "backend.set_state": gettext_lazy("Backend state changed"),
    "backend.update": gettext_lazy("Backend changed"),
    "billing_profile.set": gettext_lazy("Billing address set"),
    "billing_profile.vat_check": gettext_lazy("VAT id checked"),
    "budget.remove": gettext_lazy("Budget removed"),
    "budget.set": gettext_lazy("Budget set"),
    "credit.grant": gettext_lazy("Credit granted"),
    "credit.top_up": gettext_lazy("Payment entered"),
    "credit_note.issue": gettext_lazy("Credit note issued"),
    "customer_data.read": gettext_lazy("Operator read this organization’s data"),
    "dunning.end": gettext_lazy("Late payment settled"),
    "dunning.step": gettext_lazy("Late payment followed up"),
    "impersonation.end": gettext_lazy("Operator stopped seeing as a member"),
    "impersonation.see": gettext_lazy("Operator opened a page as a member"),
    "impersonation.start": gettext_lazy("Operator began to see as a member"),
    "invitation.accept": gettext_lazy("Invitation accepted"),
    "invitation.create": gettext_lazy("Person invited"),
    "invitation.revoke": gettext_lazy("Invitation withdrawn"),
    "invitation.send_again": gettext_lazy("Invitation sent again"),
    "invoice.close": gettext_lazy("Month closed"),
    "invoice.export": gettext_lazy("Requests of an invoice exported"),
    "invoice.finalise": gettext_lazy("Invoice made final"),
    "invoice.freeze": gettext_lazy("Invoice frozen"),
    "invoice.halt": gettext_lazy("Invoice halted"),
    "invoice.past_due": gettext_lazy("Invoice past due"),
    "exchange_rate.set": gettext_lazy("Exchange rate entered"),
    "invoice.release": gettext_lazy("Halted invoice released"),
    "invoice.void": gettext_lazy("Invoice made void"),
    "invoice.write_off": gettext_lazy("Invoice written off"),
    "limit.remove": gettext_lazy("Limit removed"),
    "limit.set": gettext_lazy("Limit set"),
    "member.add": gettext_lazy("Member added"),
    "member.leave": gettext_lazy("Member left"),
    "member.remove": gettext_lazy("Member removed"),
    "member.set_role": gettext_lazy("Role of a member changed"),
    "mfa.add": gettext_lazy("Second factor added"),
    "mfa.recovery_codes": gettext_lazy("New recovery codes made"),
    "mfa.remove": gettext_lazy("Second factor removed"),
    "model.create": gettext_lazy("Model created"),
    "model.deploy": gettext_lazy("Model deployed"),
    "model.disable": gettext_lazy("Model disabled"),
    "model.enable": gettext_lazy("Model enabled"),
    "model.redeploy": gettext_lazy("Deployment changed"),
    "model.release": gettext_lazy("Halted model released"),
    "model.set_card": gettext_lazy("Model card changed"),
    "model.set_routing": gettext_lazy("Routing changed"),
    "model.set_status": gettext_lazy("Model status changed"),
    "model.set_visibility": gettext_lazy("Model visibility changed"),
    "model.undeploy": gettext_lazy("Deployment removed"),
    "model.update": gettext_lazy("Model changed"),
    "organization.approve": gettext_lazy("Organization let in"),
    "organization.archive": gettext_lazy("Organization archived"),
    "organization.create": gettext_lazy("Organization created"),
    "organization.delete": gettext_lazy("Organization deleted"),
    "organization.erase": gettext_lazy("Organization erased"),
    "organization.lift": gettext_lazy("Suspension lifted"),
    "organization.refuse": gettext_lazy("Organization refused"),
    "organization.rename": gettext_lazy("Organization renamed"),
    "organization.restore": gettext_lazy("Organization restored"),
    "organization.set_keys_end": gettext_lazy("Whether keys end with their member changed"),
    "organization.set_regions": gettext_lazy("Allowed regions changed"),
    "organization.set_second_factor": gettext_lazy("Whether members need a second factor changed"),
    "organization.set_share": gettext_lazy("Share changed"),
    "organization.suspend": gettext_lazy("Organization suspended"),
    "ownership.accept": gettext_lazy("Ownership taken over"),
    "ownership.decline": gettext_lazy("Ownership declined"),
    "ownership.offer": gettext_lazy("Ownership offered"),
    "ownership.withdraw": gettext_lazy("Offer of ownership withdrawn"),
    "payment.begin": gettext_lazy("Payment begun"),
    "payment.book": gettext_lazy("Payment booked"),
    "payment.confirm": gettext_lazy("Payment to be confirmed opened"),
    "payment.excess_return": gettext_lazy("What was paid too much given back"),
    "payment.refund": gettext_lazy("Payment paid back"),
    "person.erase": gettext_lazy("Facts about a person erased from the trail"),
    "plan.begin": gettext_lazy("Plan begun"),
    "plan.change": gettext_lazy("Moved to another plan"),
    "plan.create": gettext_lazy("Plan created"),
    "plan.update": gettext_lazy("Plan changed"),
    "platform.set_approval": gettext_lazy("Approval of new organizations changed"),
    "platform.set_sign_up": gettext_lazy("Whether anyone may sign up changed"),
    "portal.open": gettext_lazy("Card portal opened"),
    "price_book.create": gettext_lazy("Price book created"),
    "price_book.tiers": gettext_lazy("Volume discounts set"),
    "price_book.update": gettext_lazy("Price book changed"),
    "project.archive": gettext_lazy("Project archived"),
    "project.create": gettext_lazy("Project created"),
    "project.rename": gettext_lazy("Project renamed"),
    "project.restore": gettext_lazy("Project restored"),
    "rate.approve": gettext_lazy("Rate approved"),
    "rate.propose": gettext_lazy("Rate proposed"),
    "rate.set": gettext_lazy("Rate set"),
    "rate.withdraw": gettext_lazy("Proposed rate withdrawn"),
    "region.create": gettext_lazy("Region created"),
    "requests.export": gettext_lazy("Requests exported"),
    "service_account.archive": gettext_lazy("Service account archived"),
    "service_account.create": gettext_lazy("Service account created"),
    "session.end": gettext_lazy("Logged out"),
    "session.fail": gettext_lazy("Log-in failed"),
    "session.start": gettext_lazy("Logged in"),
    "sso.add_domain": gettext_lazy("Domain of single sign-on added"),
    "sso.enforce": gettext_lazy("Whether single sign-on is enforced changed"),
    "sso.link": gettext_lazy("Account linked to single sign-on"),
    "sso.remove": gettext_lazy("Single sign-on removed"),
    "sso.remove_domain": gettext_lazy("Domain of single sign-on removed"),
    "sso.set": gettext_lazy("Single sign-on set up"),
    "sso.unlink": gettext_lazy("Account unlinked from single sign-on"),
    "sso.verify_domain": gettext_lazy("Domain of single sign-on verified"),
    "staff.add": gettext_lazy("Operator added"),
    "staff.remove": gettext_lazy("Operator removed"),
    "staff.set_role": gettext_lazy("Role of an operator changed"),
    "statement.export": gettext_lazy("Statement exported"),
    "stripe.replay": gettext_lazy("Stripe event looked at again"),
    "stripe.send_again": gettext_lazy("Call to Stripe sent again"),
    "terms.set": gettext_lazy("Terms set"),
    "terms.set_book": gettext_lazy("Price book of an organization set"),
    "terms.set_currency": gettext_lazy("Currency of an organization set"),
    "usage.export": gettext_lazy("Usage exported"),
    "user.create": gettext_lazy("Account created"),
    "vat.export": gettext_lazy("VAT of a month exported"),
}
"""Every action that is recorded: a test finds them in the code."""
MAX_SHOWN: Final = 80
NAMES: Final = (
    "name", "public_id", "project", "api_key", "model", "hint", "backend", "component", "book",
    "role", "price", "amount", "reference", "plan", "mode", "credit_limit", "kind", "value",
    "period", "count", "email", "person",
)  # fmt: skip
"""The facts that say in a line what it was about, in their order."""

_WORDS: Final[Mapping[str, Mapping[str, str | Promise]]] = {
    name: dict(choices.choices)
    for name, choices in (("kind", LimitKind), ("period", Period), ("mode", Mode))
}
"""Of facts whose values are no words themselves."""

type Change = tuple[str, str, str]
"""A field, what it was and what it is. The name is empty where there was only one."""


def action_said(action: str) -> str:
    return str(ACTIONS.get(action, action))


def who_said(entry: AuditEntry) -> str:
    """Who acted; for an operator who saw as a member does, both."""
    who = str(entry.actor or _("Sluice itself"))
    if entry.on_behalf_of:
        said = {"operator": who, "member": str(entry.on_behalf_of)}
        return _("%(operator)s, seeing as %(member)s") % said
    return who


def changes_of(entry: AuditEntry) -> list[Change]:
    """What became of each field."""
    data = entry.data
    changes = {"": (data["before"], data["after"])} if _has_both(data) else {}
    changes |= data.get("changes", {})
    return [
        (_label(name), value_said(before, name), value_said(after, name))
        for name, (before, after) in changes.items()
    ]


def _has_both(data: Mapping[str, Any]) -> bool:
    return {"before", "after"} <= data.keys()


def changes_said(entry: AuditEntry) -> list[str]:
    """The same in short; of a long text only which it was."""
    return [_short(*change) for change in changes_of(entry)]


def facts_of(entry: AuditEntry, personal: dict[str, Any]) -> list[tuple[str, str]]:
    """All else that is known of the act, by name."""
    told = entry.data | personal
    skipped = {"changes", "ip", "user_agent"}
    if _has_both(entry.data):
        skipped |= {"before", "after"}
    return [
        (_label(name), value_said(value, name))
        for name, value in told.items()
        if name not in skipped and value not in (None, "", [], {})
    ]


def value_said(value: Any, name: str = "") -> str:
    """The value of the fact called `name`."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return number(value)
    if isinstance(value, str) and value in _WORDS.get(name, ()):
        return str(_WORDS[name][value])
    if isinstance(value, list):
        return ", ".join(map(value_said, value)) or NONE
    if isinstance(value, dict):
        return ", ".join(f"{_label(k)} {value_said(one, k)}" for k, one in value.items()) or NONE
    return NONE if value is None or value == "" else str(value)


def _short(name: str, before: str, after: str) -> str:
    shown = f"{before} → {after}"
    return f"{name} {shown}".strip() if len(shown) <= MAX_SHOWN else name


def _label(name: str) -> str:
    return name.replace("_", " ")
