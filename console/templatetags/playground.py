"""How the answers of models look."""

from __future__ import annotations

from django import template

from console.playground import prose

register = template.Library()
register.filter("prose", prose.prose)
