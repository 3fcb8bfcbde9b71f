"""State as a value with a codec: a tree of dicts, lists, numbers, strings and arrays, and its bytes.

Layout: 4-byte magic, 4-byte header length, a JSON header in which arrays are references, then the raw array
buffers, each aligned to 8 bytes. Object arrays are not allowed: strings are lists.
"""

from typing import Any

import numpy as np
import orjson

_MAGIC = b"KST1"

Tree = Any


def pack(tree: Tree) -> bytearray:
    """The bytes of a state tree. `unpack(pack(t)) == t`, arrays with dtype and shape."""
    arrays: list[tuple[int, np.ndarray]] = []
    size = 0

    def refer(node: Tree) -> Tree:
        nonlocal size
        if isinstance(node, np.ndarray):
            if node.dtype.hasobject:
                raise TypeError("object arrays have no codec: keep strings in a list")
            dtype = node.dtype.str if node.dtype.names is None else node.dtype.descr
            at = size
            arrays.append((at, node))
            size += node.nbytes + -node.nbytes % 8
            return {"$array": [dtype, list(node.shape), at, node.nbytes]}
        if isinstance(node, dict):
            return {k: refer(v) for k, v in node.items()}
        if isinstance(node, list | tuple):
            if node and all(isinstance(v, str) or v is None for v in node):
                return list(node)
            return [refer(v) for v in node]
        if isinstance(node, np.generic):
            return node.item()
        return node

    header = orjson.dumps(refer(tree))
    header += b" " * (-(len(header) + 8) % 8)
    # A state may be the largest thing in memory: every array is copied once, to its place.
    out = bytearray(8 + len(header) + size)
    out[: 8 + len(header)] = _MAGIC + len(header).to_bytes(4, "little") + header
    for at, array in arrays:
        np.ndarray(array.shape, array.dtype, buffer=out, offset=8 + len(header) + at)[...] = array
    return out


def unpack(data: bytes | bytearray) -> Tree:
    """The state tree of `pack`'s bytes. Raises ValueError for anything else."""
    if data[:4] != _MAGIC:
        raise ValueError("not a packed state")
    start = 8 + int.from_bytes(data[4:8], "little")

    def restore(node: Tree) -> Tree:
        if isinstance(node, dict):
            if "$array" in node:
                dtype, shape, at, length = node["$array"]
                if isinstance(dtype, list):
                    dtype = [tuple(tuple(x) if isinstance(x, list) else x for x in f) for f in dtype]
                raw = data[start + at : start + at + length]
                return np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape).copy()
            return {k: restore(v) for k, v in node.items()}
        if isinstance(node, list):
            if all(isinstance(v, str) or v is None for v in node):
                return node
            return [restore(v) for v in node]
        return node

    return restore(orjson.loads(data[8:start]))
