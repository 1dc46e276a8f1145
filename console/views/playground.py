"""The playground: ask a model in the browser, by the same API as any developer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console.access import member_page
from console.billing_home import Account
from console.http import OrganizationRequest
from console.playground.calls import Caller, Question
from console.playground.chats import turns_shown
from console.playground.code import YOUR_IMAGE, snippet_of
from console.playground.facts import Counts, Terms
from console.playground.forms import (
    AskForm,
    ChatForm,
    EmbeddingForm,
    RerankForm,
    TranscriptionForm,
)
from console.playground.readings import (
    embedding_read,
    ranking_read,
    reading_of,
    transcript_read,
)
from console.playground.streams import Column, Page, merged, session_of
from inference.models import Capability
from tenants import services, tenancy

TABS: Final = (
    ("playground", gettext_lazy("Chat")),
    ("playground_embeddings", gettext_lazy("Embeddings")),
    ("playground_rerank", gettext_lazy("Rerank")),
    ("playground_transcription", gettext_lazy("Audio")),
)
CHANGES: Final = ("compare", "single", "clear")
CODE: Final = "code"
METHODS: Final = ("GET", "HEAD", "POST")
_IN_PLACE: Final = {
    "HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML settle:0",
}  # fmt: skip


@require_http_methods(METHODS)
@never_cache
@member_page
def playground(request: OrganizationRequest) -> HttpResponseBase:
    """A chat with one model or two. What was said so far comes with the form, and is kept nowhere.

    htmx gets the answers as they come; without it the page comes once they are there.
    """
    if request.method != "POST":
        return _chat(request, _opened(request))
    act = request.POST.get("act", "")
    if act in CHANGES:
        return _chat(request, _changed(request, act))
    form = ChatForm(request.organization, request.POST, request.FILES)
    if act.startswith(CODE) and form.is_valid():
        return _code(request, _columns(form)[act.endswith("1")].question(form))
    if act.startswith(CODE) or not form.says_something():
        return _chat(request, form, status=422)
    return _answers(request, form, _columns(form))


@require_http_methods(METHODS)
@never_cache
@member_page
def playground_embeddings(request: OrganizationRequest) -> HttpResponse:
    """How alike texts are."""
    return _tab(request, EmbeddingForm, "texts", embedding_read)


@require_http_methods(METHODS)
@never_cache
@member_page
def playground_rerank(request: OrganizationRequest) -> HttpResponse:
    """Documents by how well they answer a query."""
    return _tab(request, RerankForm, "documents", ranking_read)


@require_http_methods(METHODS)
@never_cache
@member_page
def playground_transcription(request: OrganizationRequest) -> HttpResponse:
    """A recording as text."""
    return _tab(request, TranscriptionForm, "language", transcript_read)


# What the pages share


def _frame(tab: str, form: AskForm) -> dict[str, Any]:
    return {"form": form, "tabs": TABS, "tab": tab, "may_ask": bool(form.models)}


def _caller(request: OrganizationRequest, form: AskForm) -> Caller:
    key = services.playground_key_open(actor=request.user, project=form.cleaned_data["project"])
    age = timezone.now() - key.created_at
    return Caller(key.pk, request.user.pk, age.total_seconds())


def _code(request: OrganizationRequest, question: Question) -> HttpResponse:
    part = "#part" if request.htmx else ""
    snippet = snippet_of(question)
    context = {"snippet": snippet, "has_images": YOUR_IMAGE in snippet.curl}
    return render(request, f"console/playground/code.html{part}", context)


def _tab(
    request: OrganizationRequest,
    form_class: type[EmbeddingForm | RerankForm | TranscriptionForm],
    given: str,
    read: Callable[[bytes, Any], tuple[Any, Counts]],
) -> HttpResponse:
    """A page that asks once and shows what came; `read` gets the field `given` of the form, too."""
    tab = _name(request)
    asked = (request.POST, request.FILES) if request.method == "POST" else ()
    opened = {"model": request.GET.get("model")}
    form = form_class(request.organization, *asked, initial=opened)
    if not form.is_valid():
        return _tab_page(request, _frame(tab, form), 422 if form.is_bound else 200)
    if request.POST.get("act") == CODE:
        return _code(request, form.question)
    reading = async_to_sync(reading_of)(
        form.question,
        _caller(request, form),
        Terms.now(request.organization),
        lambda data: read(data, form.cleaned_data[given]),
    )
    return _tab_page(request, _frame(tab, form) | {"reading": reading})


def _name(request: OrganizationRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""


def _tab_page(
    request: OrganizationRequest, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    context["account"] = Account(request.organization)
    return render(request, f"console/playground/{context['tab']}.html", context, status=status)


# The chat


def _opened(request: OrganizationRequest) -> ChatForm:
    """An empty conversation, with the models of the address."""
    form = ChatForm(request.organization)
    first = form.models.values_list("public_id", flat=True).first()
    form.initial = {"model": request.GET.get("model", first), "other": request.GET.get("other")}
    return form


def _changed(request: OrganizationRequest, act: str) -> ChatForm:
    """What is in the form, with a model more or less, or without what was said."""
    told = request.POST.dict()
    form = ChatForm(request.organization, initial=told)
    if act == "compare":
        names = [model.public_id for model in form.models]
        told["other"] = next((name for name in names if name != told.get("model")), "")
    elif act == "single":
        told |= {"other": "", "turns_1": ""}
    else:
        told |= {"turns_0": "", "turns_1": ""}
    return form


def _columns(form: ChatForm) -> list[Column]:
    turns = (form.cleaned_data["turns_0"], form.cleaned_data["turns_1"])
    return [
        Column(index, model.public_id, list(turns[index]), form.turn)
        for index, model in enumerate(form.chosen)
    ]


def _shown(form: ChatForm) -> list[Column]:
    """The columns of a form, whether what is in it is valid or not."""
    names = [str(form[name].value() or "") for name in ("model", "other")]
    return [
        Column(index, name, turns_shown(form[f"turns_{index}"].value()))
        for index, name in enumerate(names)
        if name or index == 0
    ]


def _chat_context(form: ChatForm, columns: list[Column]) -> dict[str, Any]:
    return {
        **_frame("playground", form),
        "columns": columns,
        "session": session_of(columns),
        "reads_images": any(Capability.VISION in model.capabilities for model in form.models),
        "can_compare": len(form.models) > 1,
    }


def _chat(request: OrganizationRequest, form: ChatForm, status: int = 200) -> HttpResponse:
    """The page; htmx, which asked for answers, puts it in place of the old one."""
    context = _chat_context(form, _shown(form)) | {"account": Account(request.organization)}
    response = render(request, "console/playground/playground.html", context, status=status)
    if request.htmx:
        for name, value in _IN_PLACE.items():
            response[name] = value
    return response


def _answers(
    request: OrganizationRequest, form: ChatForm, columns: list[Column]
) -> StreamingHttpResponse:
    caller, terms = _caller(request, form), Terms.now(request.organization)
    asking = [column.ask(column.question(form), caller, terms) for column in columns]
    if request.htmx:
        context = _chat_context(_emptied(request, form), columns) | {"kept": form}
        events = Page(columns, context).events(asking)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingHttpResponse(events, content_type="text/event-stream", headers=headers)
    page = _page_once_answered(request, form, columns, asking, tenancy.current())
    return StreamingHttpResponse(page)


def _emptied(request: OrganizationRequest, form: ChatForm) -> ChatForm:
    """The form with nothing to send."""
    told = request.POST.dict() | {"message": ""}
    return ChatForm(request.organization, initial=told)


async def _page_once_answered(
    request: OrganizationRequest,
    form: ChatForm,
    columns: list[Column],
    asking: list[AsyncGenerator[None]],
    standing: tenancy.Standing,
) -> AsyncGenerator[str]:
    async with aclosing(merged(asking)) as news:
        async for _more in news:
            pass
    has_failed = all(column.error for column in columns)
    shown = form if has_failed else _emptied(request, form)

    def page() -> str:
        with tenancy.standing_as(standing):
            context = _chat_context(shown, columns)
            return render_to_string("console/playground/playground.html", context, request)

    yield await sync_to_async(page)()
