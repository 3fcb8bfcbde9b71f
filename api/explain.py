"""Why the tracker said what it said of one vehicle: `koridor explain`, run for a request.

The API knows no feed and no engine, so this is a process of its own: the event loop is never busy with it, it is given
a time limit, and it ends when nobody waits for it any more. Requests for the same share one, and what it found is kept
for a few seconds; only one runs at a time.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from api.problems import Problem

KEPT_S = 10.0
LOOK_S = 0.5  # how often is looked whether those who asked are still there
MOST_WAITING = 4  # different ones
GRACE_S = 2.0

Key = tuple[str, int]  # vehicle_id, minutes


class Explanation(NamedTuple):
    """Both forms of an explanation."""

    json: bytes
    svg: bytes


class _Run:
    def __init__(self, task: asyncio.Task[Explanation]) -> None:
        self.task = task
        self.waiting = 0
        self.done_at: float | None = None


class Explainer:
    """Explanations of the vehicles of one feed.

    gtfs     the feed that the workers use; None: nothing can be explained
    limit_s  a process that takes longer is ended
    command  what is run instead of `koridor`, in tests
    """

    def __init__(self, gtfs: Path | None, limit_s: float, command: tuple[str, ...] | None = None) -> None:
        self.gtfs, self.limit_s = gtfs, limit_s
        self._command = command or (sys.executable, "-m", "streams")
        self._one = asyncio.Semaphore(1)
        self._runs: dict[Key, _Run] = {}

    async def explain(self, vehicle_id: str, minutes: int, gone: Callable[[], Awaitable[bool]]) -> Explanation:
        """The last minutes of a vehicle. Raises Problem; `gone` tells that the one who asked has left."""
        if self.gtfs is None:
            raise Problem(
                501, "no-feed", "This API was started without the feed: `koridor api --gtfs FEED` can explain vehicles."
            )
        run = self._run((vehicle_id, minutes))
        run.waiting += 1
        try:
            while not run.task.done():
                await asyncio.wait({run.task}, timeout=LOOK_S)
                if not run.task.done() and await gone():
                    raise Problem(503, "gone", "Nobody waits for this any more.")
            return run.task.result()
        finally:
            run.waiting -= 1
            if not run.waiting:
                _cancel(run.task)

    async def close(self) -> None:
        """End what is still running."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            _cancel(task)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, key: Key) -> _Run:
        now = asyncio.get_running_loop().time()
        for old, run in list(self._runs.items()):
            if run.task.cancelled() or (run.done_at is not None and now - run.done_at > KEPT_S):
                del self._runs[old]
        found = self._runs.get(key)
        if found is not None and not (found.task.cancelling() or (found.task.done() and found.task.exception())):
            return found
        if sum(not run.task.done() for run in self._runs.values()) >= MOST_WAITING:
            raise Problem(503, "busy", f"{MOST_WAITING} explanations are being made; try again in a moment.")
        made = self._runs[key] = _Run(asyncio.ensure_future(self._made(*key)))
        made.task.add_done_callback(lambda _: self._finished(made))
        return made

    def _finished(self, run: _Run) -> None:
        run.done_at = asyncio.get_running_loop().time()
        if not run.task.cancelled():
            run.task.exception()  # looked at, whether or not somebody still waits

    async def _made(self, vehicle_id: str, minutes: int) -> Explanation:
        async with self._one:
            with tempfile.TemporaryDirectory(prefix="koridor-explain-") as folder:
                found, picture = Path(folder) / "explanation.json", Path(folder) / "picture.svg"
                words = [
                    "explain", "--live", f"--gtfs={self.gtfs}", f"--vehicle={vehicle_id}", f"--minutes={minutes}",
                    f"--json={found}", f"--svg={picture}", "--every=1000000",
                ]  # fmt: skip
                try:
                    async with asyncio.timeout(self.limit_s):
                        code, said = await self._finish([*self._command, *words])
                except TimeoutError:
                    raise Problem(504, "too-long", f"It took longer than {self.limit_s:.0f} s; ask for less.") from None
                if code != 0:
                    raise Problem(404 if "has sent no ping" in said else 500, "not-explained", said)
                return Explanation(*await asyncio.to_thread(lambda: (found.read_bytes(), picture.read_bytes())))

    async def _finish(self, argv: list[str]) -> tuple[int, str]:
        """Run a command to its end, however that comes: its exit code and its last words."""
        # The guard ends the command when its standard input closes, so also when this process is killed.
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.guard", str(GRACE_S), *argv,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stderr is not None
        try:
            said = (await child.stderr.read()).decode(errors="replace").strip()
            code = await child.wait()
        except asyncio.CancelledError:
            child.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), 2 * GRACE_S)
            if child.returncode is None:
                child.kill()
                await child.wait()
            raise
        child.stdin.close()
        errors = [line.removeprefix("Error: ") for line in said.splitlines() if line.startswith("Error: ")]
        return code, errors[-1] if errors else (said.splitlines() or [f"it ended with {code}"])[-1]


def _cancel(task: asyncio.Task[Explanation]) -> None:
    """Once only: a second time would interrupt the end of its process."""
    if not task.done() and not task.cancelling():
        task.cancel()
