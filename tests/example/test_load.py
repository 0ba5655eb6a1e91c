"""The load generator of the demonstration counts honestly: a demo that says "0 failed" must mean it."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

LOAD = Path(__file__).parents[2] / "scripts" / "load.py"


class Flawed(BaseHTTPRequestHandler):
    """Every fifth answer is an error, every seventh request is dropped without one."""

    protocol_version = "HTTP/1.1"
    served = 0
    errors = 0
    dropped = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        kind = type(self)
        with kind.lock:
            kind.served += 1
            number = kind.served
            drop, error = number % 7 == 0, number % 7 and number % 5 == 0
            kind.dropped += bool(drop)
            kind.errors += bool(error)
        if drop:
            self.close_connection = True
            return
        self.send_response(503 if error else 200)
        self.send_header("content-length", "2")
        self.send_header("x-release", "r2" if number > 20 else "r1")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def flawed() -> Iterator[tuple[str, type[Flawed]]]:
    """A server that fails now and then, and knows how often."""
    kind = type("Counting", (Flawed,), {"served": 0, "errors": 0, "dropped": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_failure_is_counted(flawed: tuple[str, type[Flawed]]) -> None:
    """Errors and broken connections alike, also for requests in flight when it is told to end."""
    url, kind = flawed
    process = subprocess.Popen([sys.executable, str(LOAD), url, "--rate", "400"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while kind.served < 60 and time.monotonic() < deadline:
        time.sleep(0.01)  # between two looks
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    counted = json.loads(output)
    assert process.returncode == 1
    assert counted["requests"] == kind.served
    assert counted["failed"] == kind.errors + kind.dropped
    assert counted["failures"]["status 503"] == kind.errors
    assert sum(counted["releases"].values()) == kind.served - kind.dropped
    assert set(counted["releases"]) == {"r1", "r2"}


def test_an_address_where_nobody_answers_is_all_failures() -> None:
    """It ends after its time and says so in its exit status."""
    command = [sys.executable, str(LOAD), "http://127.0.0.1:9/", "--seconds", "0.3", "--rate", "50"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    counted = json.loads(result.stdout)
    assert result.returncode == 1
    assert counted["failed"] == counted["requests"] > 0
