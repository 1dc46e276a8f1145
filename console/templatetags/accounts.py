"""What pages of allauth ask that its views do not tell."""

from __future__ import annotations

from django import template

from console.sign_up import sign_up_is_open

register = template.Library()
register.simple_tag(sign_up_is_open)
