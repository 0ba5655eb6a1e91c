"""Fulfils open orders, one after the other; PostgreSQL tells it when a new one is there.

There is never a second one of these, so that nobody else fulfils the same order meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import psycopg

CHANNEL = "orders"
PATIENCE = 3  # seconds to reach the database
PAUSE = 0.5  # seconds before it tries again
LOOK_AGAIN = 10.0  # seconds after which it looks although nobody told it anything
FULFIL = """
    UPDATE orders SET state = 'fulfilled', fulfilled_at = clock_timestamp(), fulfilled_by = %s
    WHERE id = (SELECT id FROM orders WHERE state = 'open' ORDER BY id LIMIT 1)
    RETURNING id, product, quantity
"""


def work(url: str, name: str) -> None:
    """Fulfil orders until the connection is lost. Raises `psycopg.Error`."""
    with psycopg.connect(url, autocommit=True, connect_timeout=PATIENCE) as connection:
        connection.execute(f"LISTEN {CHANNEL}")  # before it looks, so that no order falls in between
        print("at work", flush=True)
        while True:
            while (order := connection.execute(FULFIL, (name,)).fetchone()) is not None:
                number, product, quantity = order
                print(f"order {number}: {quantity} × {product} is on its way", flush=True)
            for _ in connection.notifies(timeout=LOOK_AGAIN, stop_after=1):
                pass


def main() -> None:
    """Until SIGTERM, which may come at any moment: an order is fulfilled in one statement, or still open."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    url = os.environ.get("ORDERS_DB_URL")
    if not url:
        sys.exit("ORDERS_DB_URL is missing: the URL of a PostgreSQL database")
    while True:
        try:
            work(url, os.environ.get("TIDEGATE_INSTANCE", "alone"))
        except psycopg.OperationalError as error:
            print(f"the database does not answer: {error}", flush=True)
        except psycopg.errors.UndefinedTable:
            print("there are no orders yet: the first release of the service makes the table", flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
