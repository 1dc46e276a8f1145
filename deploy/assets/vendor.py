"""Copies what the pages use from npm into the repository: `python deploy/assets/vendor.py`.

Only whoever updates an asset runs this and needs npm; the copies are committed. VENDORED.txt says
what each is, and a test compares the sha256 sums.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

ASSETS: Final = Path(__file__).parent
ROOT: Final = ASSETS.parent.parent
VENDOR: Final = ROOT / "console/static/vendor"
ICONS: Final = ROOT / "console/icons"
E2E: Final = ROOT / "tests/e2e/vendor"

FILES: Final = {
    "@tabler/core": ("dist/css/tabler.min.css",),
    "htmx.org": ("dist/htmx.min.js", "dist/ext/hx-sse.min.js"),
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    "@fontsource-variable/inter": (
        "files/inter-latin-opsz-normal.woff2",
        "files/inter-latin-ext-opsz-normal.woff2",
    ),
}
ICON_NAMES: Final = (
    "book",
    "building",
    "chart-bar",
    "check",
    "code",
    "copy",
    "cube",
    "database",
    "download",
    "fingerprint",
    "folder",
    "gauge",
    "home",
    "hourglass",
    "key",
    "layout-dashboard",
    "list-details",
    "logout",
    "menu-2",
    "message",
    "plug-connected",
    "plus",
    "route",
    "selector",
    "scale",
    "send",
    "server-2",
    "settings",
    "shield-check",
    "sun-moon",
    "trash",
    "user",
    "users",
    "wallet",
)
HEADING: Final = "# file package version licence sha256"
SOURCE_MAP: Final = re.compile(rb"\s*(/\*#|//#) sourceMappingURL=\S+( \*/)?\s*$")


def main() -> None:
    subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=ASSETS, check=True)  # noqa: S607
    chosen = [(name, path, VENDOR) for name, paths in FILES.items() for path in paths]
    chosen += [("@tabler/icons", f"icons/outline/{icon}.svg", ICONS) for icon in ICON_NAMES]
    chosen += [("axe-core", "axe.min.js", E2E)]
    for folder in (VENDOR, ICONS, E2E):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    lines = [copied(name, path, folder) for name, path, folder in chosen]
    (ASSETS / "VENDORED.txt").write_text("\n".join([HEADING, *sorted(lines)]) + "\n")


def copied(package: str, path: str, folder: Path) -> str:
    """Copy one file, less its source map's address (which is not served), and describe it."""
    source = ASSETS / "node_modules" / package
    content = SOURCE_MAP.sub(b"\n", (source / path).read_bytes())
    target = folder / Path(path).name
    target.write_bytes(content)
    about = json.loads((source / "package.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    return f"{target.relative_to(ROOT)} {package} {about['version']} {about['license']} {digest}"


if __name__ == "__main__":
    main()
