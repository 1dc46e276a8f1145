"""One act on a sheet: what it means, what it takes, and its button. A page, or htmx's dialog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from console.forms import is_taken
from console.http import UserRequest


@dataclass(frozen=True, slots=True)
class Sheet:
    """`facts` are what the act touches, counted; `back` is the path of the page that it is on.

    `act` is the word on its button, and `keep` that on the way out.
    """

    title: str
    sub: str
    act: str
    back: str
    keep: str
    facts: Sequence[tuple[str, object]] = ()
    warning: str = ""
    is_danger: bool = False


def sheet_answer(
    request: UserRequest,
    sheet: Sheet,
    form: forms.Form,
    change: Callable[[], object],
    *,
    said: str = "",
    to: str = "",
) -> HttpResponse:
    """Show the sheet; what it sends is done, `said`, and leads `to`, else back.

    Why it cannot be done, a ValidationError of `change`, stands on the sheet.
    """
    if form.is_valid() and is_taken(form, change):
        if said:
            messages.success(request, said)
        return redirect(to or sheet.back)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    template = "console/sheet.html" + ("#part" if request.htmx else "")
    response = render(request, template, {"sheet": sheet, "form": form}, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def act_answer(
    request: UserRequest, change: Callable[[], object], *, said: str, to: str
) -> HttpResponse:
    """Of a button that needs no sheet: do it, say that it is done or why not, and go back `to`."""
    try:
        change()
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, said)
    return redirect(to)


def sent(request: UserRequest) -> dict[str, str] | None:
    """What fills a form: what was sent, or None to ask."""
    return request.POST.dict() if request.method == "POST" else None
