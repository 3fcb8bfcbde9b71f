import sys
from pathlib import Path

import pytest

from streams.guard import Child


def test_exit_code_and_output_come_through(tmp_path: Path):
    child = Child("it", [sys.executable, "-c", "print('hello'); raise SystemExit(3)"], tmp_path / "log")
    assert child.wait() == 3
    assert child.poll() == 3
    assert child.tail() == "hello"


def test_stop_lets_the_child_clean_up(tmp_path: Path):
    program = """
import signal, sys
def end(*_):
    print("cleaned up", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True:
    signal.pause()
"""
    child = Child("it", [sys.executable, "-c", program], tmp_path / "log")
    while "up" not in child.tail():
        assert child.poll() is None
    assert child.stop() == 0
    assert child.tail().endswith("cleaned up")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_child_that_does_not_end_is_killed(tmp_path: Path):
    program = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""
    child = Child("it", [sys.executable, "-c", program], tmp_path / "log", grace_s=0.2)
    while "up" not in child.tail():
        assert child.poll() is None
    assert child.stop() == 128 + 9


def test_a_command_that_is_not_there(tmp_path: Path):
    child = Child("it", ["/no/such/program"], tmp_path / "log")
    assert child.wait() == 127
    assert "No such file" in child.tail()
