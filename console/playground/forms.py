"""What people fill in to ask a model. Messages say what was wrong and what to do."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final, cast, override

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.playground.calls import Question, Upload
from console.playground.chats import Turn, turns_read
from inference.models import Capability, Model, Task
from tenants.models import Organization, Project

MB: Final = 1024 * 1024
MAX_TEXT: Final = 200_000
MAX_CONVERSATION: Final = 8 * MB
MAX_IMAGES: Final = 4
MAX_IMAGE: Final = 2 * MB
MAX_AUDIO: Final = 25 * MB
MAX_TEXTS: Final = 12
MAX_DOCUMENTS: Final = 100
MAX_TOOLS: Final = 128
MAX_STOPS: Final = 4

_SMALL: Final = {"class": "form-select form-select-sm w-auto"}
_UNSET: Final = {"placeholder": gettext_lazy("model’s own")}
_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"RIFF", "webp"),
)


class AskForm(forms.Form):
    """A model of the form's task, and the project that pays."""

    task: ClassVar[Task]

    project = forms.ModelChoiceField(
        label=gettext_lazy("Project"),
        queryset=Project.objects.none(),
        empty_label=None,
        help_text=gettext_lazy("Every answer is billed to it, like any call."),
    )
    model = forms.ModelChoiceField(
        label=gettext_lazy("Model"),
        queryset=Model.objects.none(),
        to_field_name="public_id",
        empty_label=None,
    )

    def __init__(self, organization: Organization, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.projects = Project.objects.for_organization(organization).active()
        offered = Model.objects.enabled().for_organization(organization)
        self.models = offered.filter(tasks__contains=[self.task]).order_by("public_id")
        self._choose("model", self.models)
        self._choose("project", self.projects)
        self.fields["project"].initial = self.projects.first

    @property
    def has_projects(self) -> bool:
        """Whether there is more than one to choose from."""
        return len(self.projects) > 1

    def _choose(self, name: str, found: Any) -> None:
        cast("forms.ModelChoiceField[Any]", self.fields[name]).queryset = found


class LinesField(forms.CharField):
    """Texts, one a line; lines without anything are left out."""

    widget = forms.Textarea

    def __init__(self, *, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_TEXT, **kwargs)
        self.least, self.most = least, most

    @override
    def clean(self, value: Any) -> list[str]:
        lines = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if lines and not self.least <= len(lines) <= self.most:
            text = _("Write %(least)s to %(most)s lines, a text in each; these are %(count)s.")
            counts = {"least": self.least, "most": self.most, "count": len(lines)}
            raise forms.ValidationError(text % counts)
        return lines


class ImagesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ImagesField(forms.FileField):
    """Pictures, as `data:` URLs."""

    widget = ImagesInput

    @override
    def clean(self, data: Any, initial: Any = None) -> list[str]:
        files = data if isinstance(data, list) else [data] if data else []
        if len(files) > MAX_IMAGES:
            text = _("At most %(count)s images go with a message; these are %(given)s.")
            raise forms.ValidationError(text % {"count": MAX_IMAGES, "given": len(files)})
        return [_picture(file) for file in files]


def _picture(file: UploadedFile[Any]) -> str:
    """Raises ValidationError for what is too large, or no picture."""
    data = read_at_most(file, MAX_IMAGE)
    kind = next((kind for start, kind in _PICTURES if data.startswith(start)), "")
    if not kind:
        text = _("%(name)s is not a PNG, JPEG, GIF or WebP image.") % {"name": file.name}
        raise forms.ValidationError(text)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def read_at_most(file: UploadedFile[Any], limit_bytes: int) -> bytes:
    """The content of `file`. Raises ValidationError past `limit_bytes`."""
    if (file.size or 0) > limit_bytes:
        text = _("%(name)s is larger than %(limit)s MB. Choose a smaller file.")
        raise forms.ValidationError(text % {"name": file.name, "limit": limit_bytes // MB})
    data: bytes = file.read()
    return data


class ChatForm(AskForm):
    """A message to one model or two, what both are told, and each one's conversation so far."""

    task = Task.CHAT

    other = forms.ModelChoiceField(
        label=gettext_lazy("Model 2"),
        queryset=Model.objects.none(),
        to_field_name="public_id",
        empty_label=None,
        required=False,
        widget=forms.Select(attrs=_SMALL),
    )
    message = forms.CharField(
        label=gettext_lazy("Message"),
        max_length=MAX_TEXT,
        strip=False,
        required=False,
        widget=forms.Textarea(
            attrs={
                "rows": 2,
                "placeholder": gettext_lazy("Ask"),
                "data-focus": True,
                "data-send": True,
            }
        ),
    )
    images = ImagesField(
        label=gettext_lazy("Images"),
        required=False,
        widget=ImagesInput(attrs={"accept": "image/png,image/jpeg,image/gif,image/webp"}),
    )
    system = forms.CharField(
        label=gettext_lazy("System prompt"),
        max_length=MAX_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    temperature = forms.FloatField(
        label=gettext_lazy("Temperature"),
        min_value=0,
        max_value=2,
        step_size=0.1,
        required=False,
        widget=forms.NumberInput(attrs=_UNSET),
    )
    top_p = forms.FloatField(
        label=gettext_lazy("Top p"),
        min_value=0.05,
        max_value=1,
        step_size=0.05,
        required=False,
        widget=forms.NumberInput(attrs=_UNSET),
    )
    max_tokens = forms.IntegerField(
        label=gettext_lazy("Max output tokens"),
        min_value=1,
        max_value=1_000_000,
        required=False,
        initial=1024,
    )
    seed = forms.IntegerField(
        label=gettext_lazy("Seed"),
        min_value=-(2**63),
        max_value=2**63 - 1,
        required=False,
        widget=forms.NumberInput(attrs=_UNSET),
    )
    stop = forms.CharField(
        label=gettext_lazy("Stop at"),
        max_length=1000,
        required=False,
        help_text=gettext_lazy("A text a line, at most 4: the answer ends before it."),
        widget=forms.Textarea(attrs={"rows": 1}),
    )
    tools = forms.CharField(
        label=gettext_lazy("Tools"),
        max_length=64_000,
        required=False,
        help_text=gettext_lazy("A JSON list, as in the field “tools” of the API."),
        widget=forms.Textarea(
            attrs={"rows": 3, "class": "form-control font-monospace", "spellcheck": "false"}
        ),
    )
    as_json = forms.BooleanField(label=gettext_lazy("Answer as JSON"), required=False)
    turns_0 = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    turns_1 = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    def __init__(self, organization: Organization, *args: Any, **kwargs: Any) -> None:
        super().__init__(organization, *args, **kwargs)
        self._choose("other", self.models)
        self.fields["model"].widget.attrs.update(_SMALL)

    @property
    def chosen(self) -> list[Model]:
        """The models that are asked: one, or two."""
        models = (self.cleaned_data["model"], self.cleaned_data["other"])
        return [model for model in models if model]

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the request that were filled in."""
        told = self.cleaned_data
        names = ("temperature", "top_p", "max_tokens", "seed")
        chosen = {name: told[name] for name in names if told[name] is not None}
        lists = {name: told[name] for name in ("stop", "tools") if told[name]}
        shape = {"response_format": {"type": "json_object"}} if told["as_json"] else {}
        return {**chosen, **lists, **shape}

    @property
    def turn(self) -> Turn | None:
        """What is said now; None when nothing is."""
        message, images = self.cleaned_data["message"], self.cleaned_data["images"]
        return Turn(message, images) if message.strip() or images else None

    def says_something(self) -> bool:
        """Whether it is valid, and has something to send; if not, it tells what is missing."""
        if self.is_valid() and self.turn is None:
            self.add_error("message", _("Write a message."))
        return self.is_valid()

    def clean_stop(self) -> list[str]:
        stops = [line for line in self.cleaned_data["stop"].splitlines() if line]
        if len(stops) > MAX_STOPS:
            raise forms.ValidationError(_("Write at most 4 lines."))
        return stops

    def clean_tools(self) -> list[Any]:
        text = self.cleaned_data["tools"]
        try:
            tools = json.loads(text) if text.strip() else []
        except ValueError as error:
            message = _("This is not JSON: %(error)s.") % {"error": error}
            raise forms.ValidationError(message) from None
        if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
            raise forms.ValidationError(_("Write a list of at most 128 tools: […]."))
        return tools

    def clean_turns_0(self) -> list[Turn]:
        return _turns(self.cleaned_data["turns_0"])

    def clean_turns_1(self) -> list[Turn]:
        return _turns(self.cleaned_data["turns_1"])

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        if self.cleaned_data.get("images"):
            self._check_sight(self.chosen if "model" in self.cleaned_data else ())
        return self.cleaned_data

    def _check_sight(self, models: Iterable[Model]) -> None:
        for model in models:
            if Capability.VISION not in model.capabilities:
                text = _("%(model)s does not read images. Choose another model.")
                self.add_error("images", text % {"model": model.public_id})


def _turns(text: str) -> list[Turn]:
    """Raises ValidationError; a browser sends back what a page of ours has put there."""
    if len(text) > MAX_CONVERSATION:
        text = _("The conversation has become too long. Clear it to go on.")
        raise forms.ValidationError(text)
    try:
        return turns_read(text)
    except ValueError:
        raise forms.ValidationError(_("The conversation cannot be read. Clear it.")) from None


class EmbeddingForm(AskForm):
    task = Task.EMBEDDING

    texts = LinesField(
        label=gettext_lazy("Texts, one a line"),
        least=2,
        most=MAX_TEXTS,
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    @property
    def texts_given(self) -> Sequence[str]:
        texts: list[str] = self.cleaned_data["texts"]
        return texts

    @property
    def question(self) -> Question:
        body = {"model": self.cleaned_data["model"].public_id, "input": self.texts_given}
        return Question("embeddings", body)


class RerankForm(AskForm):
    task = Task.RERANK

    query = forms.CharField(label=gettext_lazy("Query"), max_length=10_000)
    documents = LinesField(
        label=gettext_lazy("Documents, one a line"),
        least=1,
        most=MAX_DOCUMENTS,
        widget=forms.Textarea(attrs={"rows": 8}),
    )

    @property
    def question(self) -> Question:
        told = self.cleaned_data
        names = {"query": told["query"], "documents": told["documents"]}
        return Question("rerank", {"model": told["model"].public_id, **names})


class TranscriptionForm(AskForm):
    task = Task.TRANSCRIPTION

    file = forms.FileField(
        label=gettext_lazy("Audio"),
        help_text=gettext_lazy("At most 25 MB. It is transcribed, and not stored."),
        widget=forms.FileInput(attrs={"accept": "audio/*,video/mp4,video/webm"}),
    )
    language = forms.CharField(
        label=gettext_lazy("Language"),
        max_length=10,
        required=False,
        help_text=gettext_lazy("Two letters, as “sv”; found out when empty."),
    )

    def clean_file(self) -> Upload:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        data = read_at_most(file, MAX_AUDIO)
        return Upload(file.name or "audio", data, file.content_type or "application/octet-stream")

    @property
    def question(self) -> Question:
        told = self.cleaned_data
        fields = {"model": told["model"].public_id}
        if told["language"]:
            fields["language"] = told["language"]
        return Question("audio/transcriptions", fields, told["file"])
