import orjson
import pytest

from api.map import vendor


def test_the_committed_libraries_are_what_the_record_says():
    assert vendor.mismatches(orjson.loads(vendor.RECORD.read_bytes())) == []


@pytest.mark.parametrize("change", ["edited", "missing", "extra"])
def test_a_file_that_is_not_as_recorded_is_named(tmp_path, change):
    for file in vendor.HERE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    name = "maplibre-gl.css"
    if change == "edited":
        (tmp_path / name).write_bytes(b"")
    elif change == "missing":
        (tmp_path / name).unlink()
    else:
        name = "more.js"
        (tmp_path / name).write_bytes(b"")
    assert vendor.mismatches(orjson.loads(vendor.RECORD.read_bytes()), tmp_path) == [name]
