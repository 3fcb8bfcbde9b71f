"""CSV as it occurs."""

import gzip
from pathlib import Path

import pytest

from streams.sources.csv_file import open_csv, table
from streams.sources.recording import UnusableSource
from streams.sources.rows import Options

TEXT = "vehicle_id,timestamp,lat,lon\n0079,1,1.5,2.5\n0080,2,1.6,2.6\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace(",", ";").encode(),
        TEXT.replace(",", "\t").encode(),
        TEXT.replace(",lat", ", lat").encode(),
        gzip.compress(TEXT.encode()),
        TEXT.replace("2.5", "2.5,surplus").encode(),
    ],
    ids=["plain", "BOM", "CRLF", "semicolon", "tab", "blank in header", "gzip", "surplus field"],
)
def test_forms_of_csv(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    frame = open_csv(path, Options()).frame
    assert frame["vehicle_id"].to_list() == ["0079", "0080"]
    assert frame["lon"].to_list() == [2.5, 2.6]


def test_bytes_that_are_no_utf8_spoil_only_themselves() -> None:
    assert table(b"a,b\n\xff,1\n", "f")["b"].to_list() == ["1"]


def test_an_empty_or_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "day.csv.gz"
    path.write_bytes(b"")
    with pytest.raises(UnusableSource, match=r"day\.csv\.gz: not a CSV file"):
        open_csv(path, Options())
    path.write_bytes(gzip.compress(TEXT.encode())[:-9])
    with pytest.raises(UnusableSource, match=r"day\.csv\.gz: broken gzip"):
        open_csv(path, Options())
