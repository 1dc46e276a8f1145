"""The gateway's ASGI entry point: `granian --interface asgi inference.gateway.asgi:application`."""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

from inference.gateway.gateway import Gateway  # noqa: E402 - needs the apps
from inference.gateway.handler import GatewayHandler  # noqa: E402
from inference.gateway.serving import SWITCH_S, take_turns  # noqa: E402
from inference.gateway.urls import resolve  # noqa: E402

sys.setswitchinterval(SWITCH_S)
if settings.GATEWAY_OWN_CORES:
    take_turns()
application = GatewayHandler(Gateway(), resolve)
