"""What stands for a migration: `migrating.py URL_OF_ROOM WORD` notes WORD, hangs while somebody wants it to, and then
fails if somebody wants that."""

from __future__ import annotations

import sys
import time
from urllib.request import Request, urlopen

ROOM, WORD = sys.argv[1:]


def get(name: str) -> str:
    with urlopen(f"{ROOM}/{name}", timeout=10) as answer:
        return str(answer.read().decode())


def note(name: str, text: str) -> None:
    urlopen(Request(f"{ROOM}/{name}", text.encode(), method="POST"), timeout=10).close()


while get("hang"):
    note("hangs", "yes")
    time.sleep(0.1)
note("ran", WORD)
if get("fail"):
    sys.stdout.write("cannot go on\n")
    sys.stdout.flush()
    sys.exit(3)
