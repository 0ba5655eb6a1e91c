"""The smallest service there is, since these tests start thousands: one request after the other, on plain sockets.

GET / answers with the versions of all that took part: its own, and those of what it needs.
"""

import os
import socket


def ask(url: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := peer.recv(65536):
            answer += more
    return answer.partition(b"\r\n\r\n")[2] if b" 200 " in answer.split(b"\r\n", 1)[0] else b"nobody"


own = f"{os.environ['TIDEGATE_COMPONENT']} {os.environ['TIDEGATE_RELEASE']}".encode()
needs = [url for name, url in os.environ.items() if name.endswith("_URL") and url.startswith("http://127.")]
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=64)
while True:
    peer, _ = server.accept()
    with peer:
        try:
            request = peer.recv(65536)
            body = b"\n".join([own, *map(ask, needs)]) if request.startswith(b"GET / ") else b""
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            peer.sendall(head + body)
        except OSError:
            continue
