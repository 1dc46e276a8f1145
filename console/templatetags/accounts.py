"""What pages of allauth ask that its views do not tell."""

from __future__ import annotations

from django import template

from console.browsers import browser_of
from console.mails import mails_stay_here
from console.sign_up import sign_up_is_open

register = template.Library()
register.simple_tag(sign_up_is_open)
register.simple_tag(mails_stay_here)
register.filter("browser", browser_of)
