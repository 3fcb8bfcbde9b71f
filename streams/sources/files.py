"""Bytes of a file, whether it is compressed or not."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from streams.sources.recording import UnusableSource


def read(path: Path) -> bytes:
    """The file's content, decompressed if it is gzip's. Raises UnusableSource."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableSource(f"{path}: {error.strerror or error}") from None
    return gunzip(data, str(path))


def gunzip(data: bytes, name: str) -> bytes:
    """The content, decompressed if it is gzip's. Raises UnusableSource."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UnusableSource(f"{name}: broken gzip file ({error}); fetch it again") from None


def head(path: Path, size: int = 4096) -> bytes:
    """The first bytes of the content. Raises UnusableSource."""
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
            raw.seek(0)
            if start == b"\x1f\x8b":
                with gzip.open(raw) as plain:
                    return plain.read(size)
            return raw.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise UnusableSource(f"{path}: cannot be read ({error})") from None


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of a file, of each file of a folder, or of each member of a zip, in the order of their names."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
            yield str(file.relative_to(path.parent)), read(file)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if not n.endswith("/")):
                yield f"{path.name}/{name}", gunzip(archive.read(name), f"{path}/{name}")
    else:
        yield path.name, read(path)
