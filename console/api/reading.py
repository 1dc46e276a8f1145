"""What was sent, as the structs that a view declares. What they do not name is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec
from django.core.exceptions import ValidationError
from django.http import QueryDict
from msgspec import Meta, Struct

from console.api.errors import MOST_BYTES
from console.organization_forms import line_check
from inference.gateway.errors import BodyTooLarge, InvalidRequest, UnsupportedMedia

Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]
Name = Annotated[
    str,
    Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x20]([^\x00-\x1f]*[^\x00-\x20])?$(?!\n)"),
]
Moment = Annotated[int, Meta(ge=0, le=4_102_444_800, description="Unix seconds, UTC")]

_AT: Final = re.compile(r" - at `\$\.?([^`]*)`")
_LINES: Final = ("name", "owner_name", "owned_by", "reason")
_FIELD: Final = re.compile(r"(?:field|fields) `([^`]+)`")


class Asked(Struct, kw_only=True, forbid_unknown_fields=True):
    """The query of a request."""


class Sent(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""


def query_read[S: Struct](query: QueryDict, shape: type[S]) -> S:
    """Lists come as `name=a&name=b`, as `name[]=a`, or as `name=a,b`."""
    lists, found = _lists(shape), dict[str, Any]()
    for written, values in query.lists():
        name = written.removesuffix("[]")
        if name in lists:
            found.setdefault(name, []).extend(v for one in values for v in one.split(","))
        elif len(values) > 1:
            raise InvalidRequest(f"Send `{name}` once.", param=name)
        else:
            found[name] = values[0]
    return _converted(found, shape)


def _converted[S: Struct](found: Mapping[str, Any], shape: type[S]) -> S:
    try:
        return msgspec.convert(found, shape, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(error) from None


def body_read[S: Struct](body: bytes, content_type: str, shape: type[S]) -> S:
    """A body that is not there is an empty object."""
    if len(body) > MOST_BYTES:
        raise BodyTooLarge.over(MOST_BYTES)
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("Send the body as `Content-Type: application/json`.")
    try:
        return _plain(msgspec.json.decode(body or b"{}", type=shape))
    except msgspec.ValidationError as error:
        raise _refusal(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None


def _plain[S: Struct](sent: S) -> S:
    """What people read in one line hides nothing."""
    for name in _LINES:
        try:
            line_check(getattr(sent, name, None) or "")
        except ValidationError as error:
            raise InvalidRequest(error.messages[0], param=name) from None
    return sent


def _refusal(error: msgspec.ValidationError) -> InvalidRequest:
    """msgspec's words, and the name of what they are about."""
    said = str(error)
    at, named = _AT.search(said), _FIELD.search(said)
    path = at[1] if at else ""
    field = named[1] if named else ""
    param = f"{path}.{field}" if path and field else path or field
    return InvalidRequest(_AT.sub("", said) + ".", param=param or None)


@cache
def _lists(shape: type[Struct]) -> frozenset[str]:
    fields = msgspec.structs.fields(shape)
    return frozenset(field.encode_name for field in fields if _is_list(field.type))


def _is_list(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_list(get_args(kind)[0])
    return get_origin(kind) in {list, tuple}
