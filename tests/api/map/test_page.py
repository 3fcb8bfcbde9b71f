"""The page as files: complete, and asking nobody else."""

import re

from api.app import MAP


def test_every_module_the_page_imports_is_there():
    for script in MAP.rglob("*.js"):
        for found in re.findall(r'from "(\.[^"]+)"', script.read_text()):
            assert (script.parent / found).is_file(), f"{script.name} imports {found}"


def test_no_file_of_ours_names_another_host():
    for file in MAP.rglob("*"):
        if file.is_file() and "vendor" not in file.parts:
            hosts = re.findall(r"https?://[^/\s\"']+", file.read_text())
            assert set(hosts) <= {"http://www.w3.org"}, file.name  # the namespace of SVG


async def test_the_page_and_its_parts_are_served(client):
    page = await client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    module = await client.get("/vendor/maplibre-gl-worker.mjs")
    assert module.headers["content-type"].startswith("text/javascript")
    assert (await client.get("/panels/stop.js")).headers["content-type"].startswith("text/javascript")


async def test_a_page_that_is_known_is_asked_for_again_and_not_sent_again(client):
    first = await client.get("/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")


async def test_no_source_of_the_service_is_served(client):
    for path in ("/vendor.py", "/../vendor.py", "/__init__.py"):
        assert (await client.get(path)).status_code == 404
