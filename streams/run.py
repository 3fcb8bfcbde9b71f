"""`koridor run`: broker, workers, API and a recording on the map, from one command, and all gone at its end.

Every part is the same command that runs in a real deployment, as a guarded child process with a log of its own.
"""

import hashlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from streams.broker import Broker, BrokerError, free_port, home, port_is_free
from streams.guard import Child
from streams.settings import Settings, WrongSetting

_DEMO = Path(__file__).resolve().parent.parent / "fixtures" / "data" / "demo" / "city.zip"
_MADE = ("--city", "7", "--city-routes", "40", "--always")  # where none is bundled
_DRIVE = ("--start", "2026-03-10T07:00", "--hours", "12", "--seed", "4")
_PAST_S = 2400.0  # of the made city's buses
_START_S = 300.0  # a first start compiles the kernels and the feed


class _Died(click.ClickException):
    """A child process ended that should run on."""


class Children:
    """The child processes of one `koridor run`."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._running: list[Child] = []
        self._finite: list[Child] = []  # those of them that may end, if they do so in good order
        self._broker: Broker | None = None
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def broker(self, broker: Broker) -> None:
        """Watch this broker too."""
        self._broker = broker

    def start(self, name: str, *words: str, finite: bool = False) -> Child:
        """Start `koridor WORDS`; its output goes to `<name>.log`."""
        log = self._folder / f"{name}.log"
        log.unlink(missing_ok=True)
        argv = [sys.executable, "-c", "from streams.cli import main; main()", *words]
        child = Child(name, argv, log, env=self.environment)
        self._running.append(child)
        if finite:
            self._finite.append(child)
        return child

    def check(self) -> None:
        """Raise if one has ended: which, and how its log ends."""
        if self._broker is not None and self._broker.poll() is not None:
            raise _died("broker", self._broker.log, self._broker.tail())
        for child in self._running:
            code = child.poll()
            if code is not None and (code != 0 or child not in self._finite):
                raise _died(child.name, child.log, child.tail())

    def until(self, what: str, condition: Callable[[], bool], watch: Child | None = None) -> None:
        """Wait for a condition while all are alive, showing what `watch` says meanwhile."""
        deadline = time.monotonic() + _START_S
        with self._console.status(what) as status:
            while not condition():
                self.check()
                if time.monotonic() > deadline:
                    tail = watch.tail() if watch else ""
                    raise click.ClickException(f"{what}: not done after {_START_S:.0f} s\n{tail}")
                if watch is not None and (said := watch.tail(1)):
                    status.update(f"{what}  [dim]{said[:100]}[/dim]")
                time.sleep(0.2)

    def stop(self) -> None:
        """End all, the last one started first, so that nobody misses what it depends on."""
        for child in reversed(self._running):
            child.stop()
        self._running.clear()


def _died(name: str, log: Path, tail: str) -> _Died:
    return _Died(f"{name} ended by itself. The end of {log}:\n{tail}")


class _Demonstration:
    """The bundled feed, or a made one, and half a day of its buses: made while all else starts, and kept."""

    def __init__(self, children: Children) -> None:
        bundled = _DEMO.exists()
        content = _DEMO.read_bytes() if bundled else b""
        folder = home() / f"demo-{hashlib.sha256(content + ' '.join(_DRIVE).encode()).hexdigest()[:12]}"
        self._children = children
        self._whole = folder / "whole"
        self._making: Child | None = None
        self.pings = folder / "pings.parquet"
        if not self._whole.exists():
            words = ("--gtfs", str(_DEMO)) if bundled else _MADE
            self._making = children.start("simulate", "simulate", *words, *_DRIVE, "--out", str(folder), finite=True)
        self.feed = _DEMO if bundled else folder / "city.zip"
        if not bundled:
            self.finish()

    def finish(self) -> None:
        """Wait until the pings are there."""
        if self._making is not None:
            making, self._making = self._making, None
            self._children.until("Making half a day of buses", lambda: making.poll() is not None, making)
            self._children.check()
            self._whole.touch()


def _ask(url: str) -> int:
    """HTTP status of a GET, 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _vehicles(url: str) -> int:
    """How many vehicles the API shows, 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=2.0) as answer:
            return int(json.load(answer)["n_vehicles"])
    except (OSError, ValueError, KeyError):
        return 0


@click.command()
@click.option("--gtfs", type=click.Path(exists=True, path_type=Path), help="A feed (zip or folder) of your own.")
@click.option(
    "--pings", multiple=True, type=click.Path(exists=True, path_type=Path), help="A recording of your own; repeatable."
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--speed", default=1.0, show_default=True, help="Seconds of the recording per second.")
@click.option(
    "--past",
    type=click.FloatRange(0),
    help="Seconds of the recording that are taken in at once, so that headways and usual times are known from the "
    f"beginning.  [default: {_PAST_S:.0f} for the made city, else 0]",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Of the map.  [default: KORIDOR_API_PORT, or a free one]")
@click.option("--keep", is_flag=True, help="Keep the broker's data and go on from it the next time.")
def command(
    gtfs: Path | None,
    pings: tuple[Path, ...],
    workers: int,
    speed: float,
    past: float | None,
    port: int | None,
    keep: bool,
) -> None:
    """Everything at once: broker, worker, API and a recording on the map.

    Without --gtfs and --pings it plays half a day of a made city's buses. If KORIDOR_BROKERS is set that broker is used
    and none is started. Ctrl-C stops everything.
    """
    if (gtfs is None) != (not pings):
        raise click.UsageError("--gtfs and --pings go together")
    if not speed > 0:
        raise click.BadParameter("must be above 0", param_hint="--speed")
    # SIGINT too: a shell that starts a job in the background has it ignored, and Python then leaves it so.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    console = Console(stderr=True)
    folder = home() / "run"
    folder.mkdir(parents=True, exist_ok=True)
    children = Children(folder, console)
    try:
        settings = Settings.from_env()
        with ExitStack() as stack:
            stack.callback(children.stop)
            demonstration = _Demonstration(children) if gtfs is None else None
            feed = gtfs if demonstration is None else demonstration.feed
            assert feed is not None
            _start_broker(stack, children, settings, folder, keep, console)
            stack.callback(children.stop)  # before the broker that they need
            url = _start_rest(children, settings, feed, workers, port)
            if demonstration is not None:
                demonstration.finish()
                pings = (demonstration.pings,)
            # With --now the recording's times are moved to the present; a second round would then lie in the future
            # unless it is as fast as time.
            again = ("--loop",) if speed <= 1.0 else ()
            files = [word for file in pings for word in ("--pings", str(file))]
            if past is None:
                past = 0.0 if demonstration is None else _PAST_S
            how = ("--speed", str(speed), "--now", "--past", str(past), *again)
            player = children.start("player", "play", *files, *how)
            children.until("Waiting for the first buses on the map", lambda: _vehicles(url) > 0, player)
            click.echo(f"The map: {url}/    (logs in {folder}; Ctrl-C stops everything)")
            while True:
                children.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nstopped")
    except (BrokerError, WrongSetting) as error:
        raise click.ClickException(str(error)) from None


def _start_broker(
    stack: ExitStack, children: Children, settings: Settings, folder: Path, keep: bool, console: Console
) -> None:
    if settings.kafka.brokers:
        click.echo(f"KORIDOR_BROKERS is set to {settings.kafka.brokers}: no embedded broker is started")
        return
    broker = Broker(home() / "broker" if keep else folder / "broker", progress=True, fresh=not keep)
    stack.callback(broker.stop)
    with console.status("Starting Apache Kafka"):
        broker.start()
    children.broker(broker)
    children.environment["KORIDOR_BROKERS"] = broker.brokers
    click.echo(f"Apache Kafka answers at {broker.brokers}")


def _start_rest(children: Children, settings: Settings, feed: Path, workers: int, port: int | None) -> str:
    """Start workers and API and wait until they answer; the map's address."""
    started = [children.start(f"worker-{n}", "worker", "--gtfs", str(feed)) for n in range(1, workers + 1)]
    for worker in started:
        children.until(f"Starting {worker.name}", lambda w=worker: "working on" in w.tail(50), worker)  # type: ignore[misc]
    if port is None:
        port = settings.api.port
        if port and not port_is_free(port):
            click.echo(f"port {port} is taken, the map gets another one")
            port = 0
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    api = children.start("api", "api", "--host", settings.api.host, "--port", str(port), "--gtfs", str(feed))
    children.until("Starting the API", lambda: _ask(f"{url}/health") == 200, api)
    return url


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
