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
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

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
# It becomes part of its callers: handing on what the tracker works on, some hundreds of words, took it a third of its
# time.
inner: _Wrap = numba.njit(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, forceinline=True
)

# A kernel that allocates nothing: it does not count references to its arrays, which the tracker's smallest steps feel,
# and it becomes part of the kernels that call it.
lean: _Wrap = _cached(_nrt=False, forceinline=True)


def prefetch(array: Any, item: int) -> None:
    """Ask the memory for the cache line of `array.flat[item]`, and do not wait for it. Changes nothing else.

    What a fleet and a timetable hold fits in no near cache: a kernel that knows what it needs next is spared most of
    its time by asking early. Not compiled it does nothing. The place need not exist.
    """


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typing: Any, array: Any, item: Any) -> Any:
    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        fields = context.make_array(array)(context, builder, arguments[0])
        place = builder.gep(fields.data, [arguments[1]])
        number = ir.IntType(32)
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(ask, [pointer, number(0), number(3), number(1)])  # to read; keep it near; it is data
        return context.get_dummy_value()

    return types.void(array, types.int64), write


@overload(prefetch)  # type: ignore[untyped-decorator]
def _compiled_prefetch(array: Any, item: Any) -> Any:
    def ask(array: Any, item: Any) -> None:
        _prefetch(array, item)

    return ask
