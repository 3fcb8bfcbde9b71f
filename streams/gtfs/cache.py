"""A compiled network as one file: a header in JSON, then the arrays, mapped read-only by all who read it."""

import contextlib
import os
import tempfile
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from streams.gtfs.network import Network

_MAGIC = b"KNW1"
_ALIGN = 64
_SOURCES = (Path(__file__).parent, Path(__file__).parents[1] / "kernels")
_PARTS = ("projection.py", "laying.py")


def place(feed: Path, cache_dir: Path | str | None, content: str) -> Path:
    """The cache file of a feed: in `cache_dir`, or beside the feed, or below KORIDOR_HOME."""
    name = f"{feed.stem}.{content[:12]}.{_stamp()}.network"
    if cache_dir is not None:
        return Path(cache_dir) / name
    beside = feed.resolve().parent / f".{name}"
    if os.access(beside.parent, os.W_OK):
        return beside
    return Path(os.environ.get("KORIDOR_HOME", ".koridor")) / "networks" / name


def read(file: Path) -> Network | None:
    """The network of a cache file; None where there is none, or it is not whole."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(48)
            if start[:4] != _MAGIC or int.from_bytes(start[4:12], "little") != size:
                return None
            header = stream.read(int.from_bytes(start[12:16], "little"))
    except OSError:
        return None
    if sha256(header).digest() != start[16:48]:
        return None
    values: dict[str, Any] = orjson.loads(header)
    blob = np.memmap(file, dtype=np.uint8, mode="r")
    for name, (dtype, shape, at, length) in values.pop("arrays").items():
        values[name] = np.asarray(blob[at : at + length]).view(dtype).reshape(shape)
    return Network(**values)


def write(file: Path, network: Network) -> Network:
    """Write the cache whole or not at all; return the network as it will be read (unwritten where that fails)."""
    values: dict[str, Any] = {}
    arrays: dict[str, tuple[str, list[int], int, int]] = {}
    data: list[np.ndarray] = []
    for f in fields(network):
        value = getattr(network, f.name)
        if isinstance(value, np.ndarray):
            data.append(np.ascontiguousarray(value))
            arrays[f.name] = (value.dtype.str, list(value.shape), 0, value.nbytes)
        else:
            values[f.name] = value
    # offsets stand in the header, whose length depends on them: give every offset the same number of digits
    base = 10**12
    offset = 0
    for name, array in zip(arrays, data, strict=True):
        dtype, shape, _, length = arrays[name]
        arrays[name] = (dtype, shape, base + offset, length)
        offset += -(-array.nbytes // _ALIGN) * _ALIGN
    length = len(orjson.dumps(values | {"arrays": arrays}))
    first = -(-(48 + length) // _ALIGN) * _ALIGN
    moved = {n: (d, s, at - base + first, b) for n, (d, s, at, b) in arrays.items()}
    header = orjson.dumps(values | {"arrays": moved}).ljust(length)
    size = first + offset
    start = _MAGIC + size.to_bytes(8, "little") + len(header).to_bytes(4, "little") + sha256(header).digest()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError:
        return network
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(start + header)
            stream.write(b"\0" * (first - stream.tell()))
            for array in data:
                stream.write(array.data)
                stream.write(b"\0" * (-array.nbytes % _ALIGN))
        os.chmod(temporary, 0o644)  # a temporary file is its owner's alone; workers may run as others
        os.replace(temporary, file)
    except BaseException as failed:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(failed, OSError):
            return network
        raise
    return read(file) or network


def _stamp() -> str:
    """Of the compiler's own text: an edited compiler does not read what an older one wrote."""
    folder, kernels = _SOURCES
    texts = [*sorted(folder.glob("*.py")), *(kernels / part for part in _PARTS)]
    return sha256(b"".join(p.read_bytes() for p in texts)).hexdigest()[:8]
