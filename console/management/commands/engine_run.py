"""`manage.py engine_run MODEL`: run vLLM as a backend of this platform, and drain it on stop."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, override

from django.core.management.base import BaseCommand, CommandError
from django.utils.text import slugify

from console.engine_runner import EngineEnded, EngineRunner, Limits, NoRegion
from console.management.commands.up import until_signal
from inference.engines.serve import NoVllm, Serving


class Command(BaseCommand):
    help = (
        "Run vLLM as a backend of this platform until SIGTERM or Ctrl-C, and then drain it. "
        "What follows `--` is passed to vLLM."
    )
    extra: Sequence[str] = ()

    @override
    def run_from_argv(self, argv: list[str]) -> None:
        end = argv.index("--") if "--" in argv else len(argv)
        self.extra = argv[end + 1 :]
        super().run_from_argv(argv[:end])

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a folder, or a name at the Hub")
        parser.add_argument("--id", help="the model's id in the catalog; default: its last name")
        parser.add_argument("--name", help="the backend's name; default: made from the id")
        parser.add_argument("--host", default="127.0.0.1", help="where the gateways reach it")
        parser.add_argument("--port", type=int, default=8100)
        parser.add_argument("--region", help="the code of a region, for a new backend")
        parser.add_argument("--tensor-parallel", type=int, default=1, metavar="GPUS")
        parser.add_argument("--tool-parser", default="", help="how the model writes tool calls")
        parser.add_argument("--max-model-len", type=int, metavar="TOKENS")
        parser.add_argument("--start-timeout", type=int, default=1800, metavar="SECONDS")
        parser.add_argument("--drain-timeout", type=int, default=300, metavar="SECONDS")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        public_id = options["id"] or options["model"].rstrip("/").rpartition("/")[2]
        runner = EngineRunner(
            self._serving(public_id, options),
            backend=options["name"] or slugify(public_id.replace("/", "-").replace(".", "-")),
            region=options["region"],
            limits=Limits(options["start_timeout"], options["drain_timeout"]),
            say=self._say,
        )
        try:
            asyncio.run(until_signal(runner.run, runner.stop))
        except (EngineEnded, NoRegion, NoVllm) as problem:
            raise CommandError(str(problem)) from None

    def _serving(self, public_id: str, options: dict[str, Any]) -> Serving:
        same = ("model", "port", "host", "tensor_parallel", "tool_parser", "max_model_len")
        fields = {name: options[name] for name in same}
        return Serving(name=public_id, extra=tuple(self.extra), **fields)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
