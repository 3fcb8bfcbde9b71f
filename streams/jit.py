"""The one decorator every kernel wears.

numba's disk cache does not notice when a kernel *called by* a cached kernel changes. The cache folder is
therefore named by a hash of all kernel sources: any edit starts a fresh one.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

_FOLDER = Path(__file__).parent / "kernels"
_stamp = sha256(
    b"".join(p.read_bytes() for p in sorted(_FOLDER.glob("*.py"))) + numba.__version__.encode()
).hexdigest()[:12]

# NUMBA_CACHE_DIR wins: an installation whose package folder cannot be written to sets it.
if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_FOLDER / "__pycache__" / _stamp)

kernel: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(cache=True, nogil=True, error_model="numpy")

# A kernel that only other kernels call and that allocates nothing. It has no way in from Python, which for kernels with
# many arrays costs the compiler more than their own code, is stored within its callers, and does not count references.
inner: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False
)

# A kernel that allocates nothing: it does not count references to its arrays, which the tracker's smallest steps feel.
lean: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.njit(
    cache=True, nogil=True, error_model="numpy", _nrt=False
)
