"""The decorators that kernels wear.

numba's disk cache does not notice when a kernel *called by* a cached kernel changes. A module's cache folder is
therefore named by a hash of its source and of all that it imports from its folder: an edit compiles anew what
depends on it, and nothing else.
"""

import os
import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

_FOLDER = Path(__file__).parent / "kernels"
_IMPORT = re.compile(r"^from streams\.kernels\.(\w+) import", re.MULTILINE)

_Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


@cache
def _text(module: str) -> str:
    return (_FOLDER / f"{module}.py").read_text(encoding="utf-8")


@cache
def sources(module: str) -> tuple[str, ...]:
    """The kernel modules that `module` is compiled from: itself and what it imports, in order of name."""
    found = [module]
    for name in found:
        found += [m for m in _IMPORT.findall(_text(name)) if m not in found]
    return tuple(sorted(found))


@cache
def stamp(module: str) -> str:
    """A name for the present state of all that a kernel module is compiled from."""
    parts = [Path(__file__).read_text(encoding="utf-8"), numba.__version__, *map(_text, sources(module))]
    return sha256("\0".join(parts).encode()).hexdigest()[:12]


def _root() -> Path:
    # NUMBA_CACHE_DIR: for an installation whose package folder cannot be written to.
    return Path(os.environ.get("NUMBA_CACHE_DIR") or _FOLDER / "__pycache__")


def _cached(**options: Any) -> _Wrap:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(_root() / stamp(function.__module__.rpartition(".")[2]))
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)  # type: ignore[no-any-return]
        finally:
            numba.config.CACHE_DIR = before

    return wrap


kernel: _Wrap = _cached()

# A kernel that only other kernels call and that allocates nothing. It has no way in from Python, which for kernels with
# many arrays costs the compiler more than their own code, is stored within its callers, and does not count references.
inner: _Wrap = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)

# A kernel that allocates nothing: it does not count references to its arrays, which the tracker's smallest steps feel.
lean: _Wrap = _cached(_nrt=False)
