"""An explanation is a process of its own: shared, limited, and gone when nobody waits for it."""

import asyncio
import sys
from pathlib import Path

import pytest

from api.explain import MOST_WAITING, Explainer
from api.problems import Problem

# Stands in for `koridor`: writes what it was asked for, after whatever `before` does, and leaves its process id.
SCRIPT = """
import json, os, sys, time
words = dict(w.split("=", 1) for w in sys.argv[1:] if "=" in w)
with open("{pids}", "a") as out:
    out.write(f"{{os.getpid()}}\\n")
{before}
open(words["--json"], "w").write(json.dumps(sys.argv[1:]))
open(words["--svg"], "w").write("<svg/>")
"""


async def here() -> bool:
    return False


def explainer(folder: Path, before: str = "", limit_s: float = 60.0) -> Explainer:
    script = SCRIPT.format(pids=folder / "pids", before=before)
    return Explainer(Path("feed.zip"), limit_s, (sys.executable, "-c", script))


async def pids(folder: Path, n: int = 1) -> list[int]:
    """Of the processes started, once there are so many."""
    async with asyncio.timeout(30.0):
        while True:
            found = (folder / "pids").read_text().split() if (folder / "pids").exists() else []
            if len(found) >= n:
                return [int(p) for p in found]
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_those_who_ask_the_same_share_a_process(tmp_path):
    of = explainer(tmp_path)
    a, b, c = await asyncio.gather(of.explain("B 1", 30, here), of.explain("B 1", 30, here), of.explain("-2", 5, here))
    assert a is b
    assert await of.explain("B 1", 30, here) is a  # kept
    assert b"--vehicle=B 1" in a.json
    assert b"--vehicle=-2" in c.json
    assert b"--minutes=5" in c.json
    assert a.svg == b"<svg/>"
    assert len(await pids(tmp_path)) == 2


async def test_without_a_feed_it_says_so():
    with pytest.raises(Problem, match="--gtfs") as told:
        await Explainer(None, 60.0).explain("B1", 30, here)
    assert told.value.status == 501


@pytest.mark.parametrize(
    ("before", "status", "words"),
    [
        ("sys.exit('Error: the broker is away')", 500, "the broker is away"),
        ("sys.exit('noise\\nError: vehicle has sent no ping in the last 30 minutes')", 404, "vehicle has sent no ping"),
        ("raise KeyError('lost')", 500, "KeyError: 'lost'"),
    ],
)
async def test_what_went_wrong_is_told_and_tried_again(tmp_path, before, status, words):
    of = explainer(tmp_path, before)
    for _ in range(2):
        with pytest.raises(Problem, match=words) as told:
            await of.explain("B1", 30, here)
        assert told.value.status == status
    assert len(await pids(tmp_path)) == 2


async def test_one_that_takes_too_long_is_ended(tmp_path):
    of = explainer(tmp_path, "time.sleep(600)", limit_s=2.0)
    with pytest.raises(Problem) as told:
        await of.explain("B1", 30, here)
    assert told.value.status == 504
    assert not any(alive(pid) for pid in await pids(tmp_path))


async def test_it_ends_when_the_last_one_who_waits_has_gone(tmp_path):
    of = explainer(tmp_path, "time.sleep(600)")
    left = asyncio.Event()

    async def gone() -> bool:
        return left.is_set()

    patient = asyncio.create_task(of.explain("B1", 30, here))
    other = asyncio.create_task(of.explain("B1", 30, gone))
    (pid,) = await pids(tmp_path)
    left.set()
    with pytest.raises(Problem, match="Nobody waits"):
        await other
    assert not patient.done()
    assert alive(pid)
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)
    await of.close()  # which waits for an end that is under way, and does not interrupt it
    assert not alive(pid)


async def test_too_many_are_turned_away_and_closing_ends_all(tmp_path):
    of = explainer(tmp_path, "time.sleep(600)")
    asked = [asyncio.create_task(of.explain(f"B{n}", 30, here)) for n in range(MOST_WAITING)]
    (pid,) = await pids(tmp_path)
    with pytest.raises(Problem) as told:
        await of.explain("one more", 30, here)
    assert told.value.status == 503
    await of.close()
    await asyncio.gather(*asked, return_exceptions=True)
    assert not alive(pid)
    assert len(await pids(tmp_path)) == 1  # the others never began
