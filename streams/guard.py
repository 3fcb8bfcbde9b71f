"""Child processes that never outlive their parent, however it ends.

`Child` starts `python -m streams.guard COMMAND…`, a small process that runs COMMAND in a session of its own and
holds one end of a pipe. When the other end closes (stop, Ctrl-C, crash or kill -9 of the parent: the kernel closes
it in every case) it asks COMMAND to end with SIGTERM and kills it if it does not. On Linux the kernel also ends
COMMAND if the guard itself is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import BinaryIO

GRACE_S = 20.0  # a worker's last snapshot and a broker's clean shutdown take a second or two


class Child:
    """A guarded child process whose output goes to a log file.

    name      what it is called in messages
    argv      the command
    log       file its output is appended to
    env       its environment (default: this process's)
    keep_fds  descriptors the guard holds open until the child has ended (a lock)
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        keep_fds: Sequence[int] = (),
        grace_s: float = GRACE_S,
    ) -> None:
        self.name = name
        self.log = log
        self._grace_s = grace_s
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._guard: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "streams.guard", str(grace_s), *argv],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                pass_fds=tuple(keep_fds),
                start_new_session=True,  # Ctrl-C reaches the parent only, which ends its children in the right order
            )

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._guard.poll()

    def stop(self) -> int:
        """End it (SIGTERM, after the grace period SIGKILL), wait, and return its exit code."""
        self.ask_to_stop()
        return self.wait()

    def ask_to_stop(self) -> None:
        """Begin to end it without waiting."""
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()

    def wait(self) -> int:
        """Wait until it has ended and return its exit code."""
        code = self._guard.wait()
        self.ask_to_stop()  # closes our end of the pipe
        return code

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 32_768))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def _end_with_guard() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wait_for_eof(pipe: BinaryIO) -> None:
    with contextlib.suppress(OSError):
        while pipe.read(4096):
            pass


def guard(grace_s: float, argv: Sequence[str]) -> int:
    """Run a command until it ends or standard input closes; its exit code."""
    # A signal sent to the guard means the same as the pipe closing: the command ends first, then the guard.
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ask)
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=_end_with_guard, start_new_session=True)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        return 127

    def watch() -> None:
        _wait_for_eof(sys.stdin.buffer)
        asked.set()

    def reap() -> None:
        child.wait()
        asked.set()

    threading.Thread(target=watch, daemon=True).start()
    threading.Thread(target=reap, daemon=True).start()
    while not asked.wait(3600.0):
        pass
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    code = guard(float(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    os._exit(code)  # the watching thread may still hold standard input
