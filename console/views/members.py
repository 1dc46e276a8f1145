"""The people of an organization: who they are, what they may do, and who is invited."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import member_page
from console.http import OrganizationRequest
from console.organization_forms import InvitationForm, OfferForm, RoleForm
from console.organization_mails import invitation_mail, offer_mail
from console.sheets import Sheet, act_answer, sent, sheet_answer
from console.step_up import stepped_up
from tenants import services
from tenants.models import ApiKey, Impersonation, Invitation, Membership, OwnershipOffer

LOOKS_SHOWN: Final = 10


@require_safe
@member_page
def members(request: OrganizationRequest) -> HttpResponse:
    """Members, open invitations, an offer of ownership, and which operators looked in."""
    people = Membership.objects.for_organization(request.organization).select_related("user")
    invited = Invitation.objects.for_organization(request.organization).open()
    offers = OwnershipOffer.objects.for_organization(request.organization)
    looks = Impersonation.objects.for_organization(request.organization)
    context = {
        "people": people.order_by("created_at", "pk"),
        "invited": [
            (one, one.is_expired()) for one in invited.select_related("invited_by").order_by("-id")
        ],
        "offer": offers.select_related("offered_by__user", "offered_to__user").first(),
        "looks": looks.select_related("operator", "member")[:LOOKS_SHOWN],
        "now": timezone.now(),
    }
    return render(request, "console/members/members.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def member_role(request: OrganizationRequest, member: int) -> HttpResponse:
    chosen = _member_or_404(request, member)
    form = RoleForm(request.member, sent(request), initial={"role": chosen.role})
    sheet = Sheet(
        title=_("Role of %(name)s") % {"name": chosen.user},
        sub=_("It holds from their next page on. Keys that they made keep working."),
        act=_("Change role"),
        back=_page(request),
        keep=_("Cancel"),
    )
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: services.member_set_role(actor=request.user, membership=chosen, role=form.chosen),
        said=_("The role is changed."),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def member_remove(request: OrganizationRequest, member: int) -> HttpResponse:
    chosen = _member_or_404(request, member)
    sheet = Sheet(
        title=_("Remove %(name)s") % {"name": chosen.user},
        sub=_("%(organization)s does not exist for them any more, from their next page on.")
        % {"organization": request.organization},
        act=_("Remove"),
        back=_page(request),
        keep=_("Keep"),
        facts=[(_("E-mail"), chosen.user.email), _keys_fact(chosen)],
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.member_remove(actor=request.user, membership=chosen),
        said=_("%(name)s is removed.") % {"name": chosen.user},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
def member_leave(request: OrganizationRequest) -> HttpResponse:
    sheet = Sheet(
        title=_("Leave %(name)s") % {"name": request.organization},
        sub=_("You need another invitation to come back."),
        act=_("Leave"),
        back=_page(request),
        keep=_("Stay"),
        facts=[_keys_fact(request.member)],
        is_danger=True,
    )
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: services.member_remove(actor=request.user, membership=request.member),
        said=_("You left %(name)s.") % {"name": request.organization},
        to=reverse("home"),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def invitation_create(request: OrganizationRequest) -> HttpResponse:
    form = InvitationForm(request.member, sent(request), initial={"role": "developer"})
    sheet = Sheet(
        title=_("Invite somebody"),
        sub=_("They get a mail with a link that works once, for 7 days, and for them alone."),
        act=_("Send invitation"),
        back=_page(request),
        keep=_("Cancel"),
    )

    def change() -> None:
        invitation_mail(
            services.invitation_create(
                actor=request.user,
                organization=request.organization,
                email=form.cleaned_data["email"],
                role=form.chosen,
            )
        )

    return sheet_answer(request, sheet, form, change, said=_("The invitation is sent."))


@require_POST
@member_page
@stepped_up
def invitation_send_again(request: OrganizationRequest, invitation: UUID) -> HttpResponse:
    chosen = _invitation_or_404(request, invitation)

    def change() -> None:
        invitation_mail(services.invitation_send_again(actor=request.user, invitation=chosen))

    said = _("It is sent again. Earlier links do not work any more.")
    return act_answer(request, change, said=said, to=_page(request))


@require_POST
@member_page
@stepped_up
def invitation_revoke(request: OrganizationRequest, invitation: UUID) -> HttpResponse:
    chosen = _invitation_or_404(request, invitation)

    def change() -> None:
        services.invitation_revoke(actor=request.user, invitation=chosen)

    return act_answer(request, change, said=_("The invitation is revoked."), to=_page(request))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def ownership_offer(request: OrganizationRequest) -> HttpResponse:
    form = OfferForm(request.organization, sent(request))
    sheet = Sheet(
        title=_("Hand over %(name)s") % {"name": request.organization},
        sub=_("When they accept, within 7 days, they are an owner and you are an admin."),
        act=_("Offer"),
        back=_page(request),
        keep=_("Cancel"),
    )

    def change() -> None:
        membership = form.cleaned_data["member"]
        offer_mail(services.ownership_offer(actor=request.user, membership=membership))

    return sheet_answer(request, sheet, form, change, said=_("The offer is sent."))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def ownership_answer(request: OrganizationRequest) -> HttpResponse:
    """Accept an offer; or decline it, or take it back, with `no`."""
    is_no = "no" in request.GET
    sheet = Sheet(
        title=_("No hand-over") if is_no else _("Own %(name)s") % {"name": request.organization},
        sub=_("Everything stays as it is.")
        if is_no
        else _("You become an owner, with all rights and all duties."),
        act=_("End the offer") if is_no else _("Become owner"),
        back=_page(request),
        keep=_("Not now"),
    )
    answer = services.ownership_withdraw if is_no else services.ownership_accept
    return sheet_answer(
        request,
        sheet,
        forms.Form(sent(request)),
        lambda: answer(actor=request.user, organization=request.organization),
        said=_("The offer is ended.") if is_no else _("You are an owner now."),
    )


def _keys_fact(chosen: Membership) -> tuple[str, object]:
    """How many of their own keys end with them, or that they stay."""
    keys = ApiKey.objects.for_organization(chosen.organization).personal(chosen.user).active()
    ends = chosen.organization.keys_end_with_member
    return (_("Their keys that end") if ends else _("Their keys that stay"), keys.count())


def _page(request: OrganizationRequest) -> str:
    return reverse("members", args=[request.organization.slug])


def _member_or_404(request: OrganizationRequest, pk: int) -> Membership:
    found = Membership.objects.for_organization(request.organization)
    return get_object_or_404(found.select_related("user", "organization"), pk=pk)


def _invitation_or_404(request: OrganizationRequest, pk: UUID) -> Invitation:
    found = Invitation.objects.for_organization(request.organization)
    return get_object_or_404(found, pk=pk)
