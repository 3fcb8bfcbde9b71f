"""JSON as on the topic `pings`: one ping, an array of pings, or columns; one document, or one a line (NDJSON)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from streams.engine.rejects import Reject
from streams.sources.files import read
from streams.sources.recording import REJECTS, Recording
from streams.sources.rows import Options, pings_of, reject


def open_json(path: Path, options: Options) -> Recording:
    """The pings of a JSON or NDJSON file; lines that are not JSON are rejects. Raises UnusableSource."""
    rows, index, rejects = read_rows(read(path), path.name)
    return pings_of(
        table(rows),
        path.name,
        options,
        index=pl.Series(index, dtype=pl.Int64),
        rejects=pl.DataFrame(rejects, schema=REJECTS, orient="row"),
    )


def read_rows(data: bytes, name: str) -> tuple[list[dict[str, Any]], list[int], list[dict[str, object]]]:
    """Rows, the index of each, and what was no row."""
    rows: list[dict[str, Any]] = []
    index: list[int] = []
    rejects: list[dict[str, object]] = []
    at = 0
    for document in _documents(data):
        try:
            found = unfold(orjson.loads(document))
        except orjson.JSONDecodeError:
            rejects.append(reject(name, at, Reject.NOT_JSON, document))
            at += 1
            continue
        for row in found:
            if isinstance(row, dict):
                rows.append(flat(row))
                index.append(at)
            else:
                rejects.append(reject(name, at, Reject.NOT_JSON, orjson.dumps(row)))
            at += 1
    return rows, index, rejects


def unfold(document: Any) -> list[Any]:
    """The rows of a document: an array of them, an object of equally long columns, or one row."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and document:
        if len(document) == 1:
            (only,) = document.values()
            if isinstance(only, list) and all(isinstance(v, dict) for v in only):
                return only  # {"data": [{…}, …]}
        if all(isinstance(v, list) for v in document.values()):
            longest = max(len(v) for v in document.values())
            columns = {k: [*v, *[None] * (longest - len(v))] for k, v in document.items()}
            return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [document]


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Objects within a row become columns with dotted names: {"position": {"lat": 1}} is `position.lat`."""
    if not any(isinstance(v, dict) for v in row.values()):
        return dict(row)
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            out |= {f"{name}.{inner}": v for inner, v in flat(value).items()}
        else:
            out[name] = value
    return out


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Columns of rows; a column of mixed types is text, so that one wrong value spoils no other."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame({name: column(name, [row.get(name) for row in rows]) for name in names})


def column(name: str, values: list[Any]) -> pl.Series:
    """A series of what the values have in common: whole numbers, numbers, or else text."""
    types = set(map(type, values)) - {type(None)}
    if types <= {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if types <= {int, float}:
        return pl.Series(name, [None if v is None else float(v) for v in values], dtype=pl.Float64)
    return pl.Series(name, [v if v is None or isinstance(v, str) else orjson.dumps(v).decode() for v in values])


def _documents(data: bytes) -> Iterable[bytes]:
    data = data.removeprefix(b"\xef\xbb\xbf").strip()
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        lines = [line for line in data.split(b"\n") if line.strip()]
        return lines if len(lines) > 1 else [data]
    return [data]
