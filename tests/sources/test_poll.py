"""A live feed behind a URL, against a local server that answers as real ones do."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from streams.sources.poll import Poller, Status
from streams.sources.recording import UnusableSource
from tests.sources.test_gtfs_rt import FULL, feed

NOW = 1000.0


class Server:
    """Answers with what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {}
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append({k.lower(): v for k, v in self.headers.items()})
                etag = outer.headers.get("ETag")
                status = 304 if etag and self.headers.get("If-None-Match") == etag else outer.status
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                body = outer.body if status == 200 else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/vp.pb"

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def vehicle(name: str, at: int) -> dict:
    return {**FULL, "vehicle": {"id": name}, "timestamp": at}


def test_a_changed_feed_gives_the_pings_that_were_not_there_before(server: Server) -> None:
    poller = Poller(server.url, every_s=10)
    server.body = feed(1000, vehicle("a", 990), vehicle("b", 991)).SerializeToString()
    first = poller.fetch(NOW)
    assert (first.status, first.wait_s) == (Status.NEW, 10)
    assert first.recording is not None
    assert first.recording.frame["vehicle_id"].to_list() == ["a", "b"]
    server.body = feed(1010, vehicle("a", 990), vehicle("b", 1005)).SerializeToString()
    second = poller.fetch(NOW + 10)
    assert second.recording is not None
    assert second.recording.frame.select("vehicle_id", "timestamp", "record_time").rows() == [("b", 1005.0, 1010.0)]


def test_compressed_answers_are_read(server: Server) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    server.body = gzip.compress(feed(1000, vehicle("a", 990)).SerializeToString())
    assert Poller(server.url).fetch(NOW).status is Status.NEW
    assert server.asked[0]["accept-encoding"] == "gzip"


def test_what_did_not_change_is_not_sent_again(server: Server) -> None:
    poller = Poller(server.url)
    server.headers = {"ETag": '"1"', "Last-Modified": "Thu, 15 Jan 2026 16:00:00 GMT"}
    server.body = feed(1000, vehicle("a", 990)).SerializeToString()
    poller.fetch(NOW)
    assert poller.fetch(NOW + 10).status is Status.UNCHANGED
    assert "if-none-match" not in server.asked[0]
    assert server.asked[1]["if-none-match"] == '"1"'
    assert server.asked[1]["if-modified-since"] == "Thu, 15 Jan 2026 16:00:00 GMT"
    server.headers = {}
    assert poller.fetch(NOW + 20).status is Status.UNCHANGED  # the same bytes without a 304


def test_a_feed_that_stands_still_is_stale_until_it_moves(server: Server) -> None:
    poller = Poller(server.url, stale_s=60)
    server.body = feed(1000, vehicle("a", 990)).SerializeToString()
    poller.fetch(NOW)
    assert poller.fetch(NOW + 60).status is Status.UNCHANGED
    assert poller.fetch(NOW + 61).status is Status.STALE
    server.body = feed(1070, vehicle("a", 990)).SerializeToString()  # a new header alone moves nothing
    assert poller.fetch(NOW + 70).status is Status.STALE
    server.body = feed(1080, vehicle("a", 1075)).SerializeToString()
    assert poller.fetch(NOW + 80).status is Status.NEW
    assert poller.fetch(NOW + 90).status is Status.UNCHANGED


def test_failures_wait_longer_each_time_and_success_forgives(server: Server) -> None:
    poller = Poller(server.url, every_s=10)
    server.status = 500
    assert [poller.fetch(NOW).wait_s for _ in range(6)] == [20, 40, 80, 160, 300, 300]
    server.status, server.body = 200, feed(1000, vehicle("a", 990)).SerializeToString()
    assert poller.fetch(NOW).wait_s == 10
    server.status = 503
    server.headers = {"Retry-After": "120"}
    poll = poller.fetch(NOW)
    assert (poll.status, poll.wait_s, poll.detail) == (Status.UNREACHABLE, 120, "HTTP 503")


def test_an_answer_that_is_no_feed_is_named_and_the_next_one_is_used(server: Server) -> None:
    poller = Poller(server.url)
    server.body = b"<html>maintenance</html>"
    assert poller.fetch(NOW).status is Status.UNREADABLE
    server.body = feed(1000, vehicle("a", 990)).SerializeToString()
    assert poller.fetch(NOW).status is Status.NEW


def test_no_server_is_unreachable() -> None:
    server = Server()
    server.stop()
    assert Poller(server.url, timeout_s=2).fetch(NOW).status is Status.UNREACHABLE


def test_a_clock_in_the_future_does_not_hide_the_next_pings(server: Server) -> None:
    poller = Poller(server.url)
    server.body = feed(1000, vehicle("a", 4_000_000_000)).SerializeToString()
    assert poller.fetch(NOW).status is Status.NEW
    server.body = feed(1010, vehicle("a", 1005)).SerializeToString()
    assert poller.fetch(NOW + 10).status is Status.NEW


def test_transjakartas_live_form(server: Server) -> None:
    server.body = (
        b'[{"bus_code":"TJ1","koridor":"1","gpsdatetime":"2023-09-03 20:06:14","latitude":-6.2,"longitude":106.8}]'
    )
    poll = Poller(server.url, format="transjakarta").fetch(NOW)
    assert poll.recording is not None
    assert poll.recording.frame["route_id"].to_list() == ["1"]


@pytest.mark.parametrize(
    ("url", "format"), [("file:///etc/passwd", "gtfs-rt"), ("vp.pb", "gtfs-rt"), ("http://a/", "csv")]
)
def test_what_cannot_be_polled_is_refused(url: str, format: str) -> None:
    with pytest.raises(UnusableSource):
        Poller(url, format=format)
