import os
import subprocess
import sys

import numpy as np
import pytest

from fixtures.feed import write_feed
from streams.gtfs import cache
from streams.gtfs import compile as compiler
from streams.gtfs.compile import load
from tests.gtfs.feeds import TABLES, tables
from tests.gtfs.test_compile import same


@pytest.fixture
def feed(tmp_path):
    return write_feed(tmp_path / "feeds" / "city.zip", TABLES)


@pytest.fixture
def compilations(monkeypatch):
    count = []
    real = compiler.compile_feed
    monkeypatch.setattr(compiler, "compile_feed", lambda *a: count.append(1) or real(*a))
    return count


def test_the_second_load_reads_what_the_first_one_compiled(feed, tmp_path, compilations):
    first, second = load(feed, tmp_path / "cache"), load(feed, tmp_path / "cache")
    assert len(compilations) == 1
    with compiler.Feed(feed) as opened:
        same(second, compiler.compile_feed(opened))
    same(first, second)


def test_what_is_read_cannot_be_written_to(feed, tmp_path):
    network = load(feed, tmp_path / "cache")
    with pytest.raises(ValueError, match="read-only"):
        network.point_x[0] = 1.0


def test_the_cache_stands_beside_the_feed(feed, compilations):
    load(feed)
    load(feed)
    assert len(compilations) == 1
    assert [p.name.split(".")[1] for p in feed.parent.iterdir() if p != feed] == ["city"]


def test_or_below_the_home_folder_where_the_feed_lies_read_only(feed, tmp_path, monkeypatch):
    monkeypatch.setenv("KORIDOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write everywhere
    load(feed)
    assert len(list((tmp_path / "home" / "networks").iterdir())) == 1
    assert list(feed.parent.iterdir()) == [feed]


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(feed, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    assert load(feed, tmp_path / "cache").trip_ids == ["t"]


def test_an_edited_feed_is_compiled_anew(feed, tmp_path, compilations):
    first = load(feed, tmp_path / "cache")
    edited = tables()
    edited["stops"][0]["stop_name"] = "Alun-alun"
    second = load(write_feed(feed, edited), tmp_path / "cache")
    assert len(compilations) == 2
    assert first.hash != second.hash
    assert second.stop_name[0] == "Alun-alun"


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_cache_is_compiled_anew(feed, tmp_path, compilations, kept):
    whole = load(feed, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    data = file.read_bytes()
    file.unlink()  # the network above is mapped from the old file
    file.write_bytes(data[: int(len(data) * kept)])
    same(load(feed, tmp_path / "cache"), whole)
    assert len(compilations) == 2
    assert file.read_bytes() == data


@pytest.mark.parametrize("at", [2, 6, 20, 60])
def test_a_damaged_header_is_noticed(feed, tmp_path, at):
    load(feed, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 0xFF
    file.unlink()
    file.write_bytes(data)
    assert cache.read(file) is None


def test_nothing_half_written_is_left(feed, tmp_path):
    load(feed, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o644


def test_processes_share_one_copy(feed, tmp_path):
    load(feed, tmp_path / "cache")
    script = (
        "import sys\nfrom streams.gtfs.compile import load\n"
        "n = load(sys.argv[1], sys.argv[2])\n"
        "maps = [l for l in open('/proc/self/maps') if l.rstrip().endswith('.network')]\n"
        "assert len(maps) == 1 and maps[0].split()[1] == 'r--s', maps\nprint(n.hash)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(feed), str(tmp_path / "cache")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == load(feed, tmp_path / "cache").hash


def test_every_array_is_aligned(feed, tmp_path):
    network = load(feed, tmp_path / "cache")
    assert all(
        value.ctypes.data % 64 == 0 for value in vars(network).values() if isinstance(value, np.ndarray) and len(value)
    )
