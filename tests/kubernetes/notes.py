"""Runs as a pod: keeps notes and signs for programs of tests, which share no folder. Paths are /ROOM/NAME.

GET gives the notes of a name, one per line; POST adds the body as one; DELETE forgets them.
"""

from __future__ import annotations

from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOTES: dict[str, list[str]] = defaultdict(list)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("\n".join(NOTES[self.path]))

    def do_POST(self) -> None:
        NOTES[self.path].append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer("")

    def do_DELETE(self) -> None:
        NOTES.pop(self.path, None)
        self._answer("")

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
