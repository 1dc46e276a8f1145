#!/usr/bin/env python
"""Django's entry point."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

from console.local import environment_load

if __name__ == "__main__":
    environment_load()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    execute_from_command_line(sys.argv)
