"""Places a few orders where there are none, so that there is something to see. Needs nothing but Python."""

import json
import os
import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

ORDERS = (("compass", 1), ("lantern", 2), ("tide-chart", 1))

direct = build_opener(ProxyHandler({}))  # no proxy stands between a program and its own machine


def ask(url: str, body: object = None) -> dict:
    """The JSON that is answered. Raises URLError, OSError or ValueError."""
    data = None if body is None else json.dumps(body).encode()
    with direct.open(Request(url, data, {"content-type": "application/json"}), timeout=5) as answer:
        return json.load(answer)


def main() -> None:
    """Ends with 1 and one sentence if orders cannot be placed."""
    if "ORDERS_URL" not in os.environ:
        sys.exit("ORDERS_URL is missing: where the service orders answers")
    url = f"{os.environ['ORDERS_URL'].rstrip('/')}/orders"
    try:
        there = len(ask(url)["orders"])
        if there:
            print(f"nothing to do: {there} orders are there")
            return
        for product, quantity in ORDERS:
            placed = ask(url, {"product": product, "quantity": quantity})
            print(f"order {placed['id']}: {quantity} × {product}")
    except (URLError, OSError, ValueError, KeyError) as error:
        sys.exit(f"cannot place orders: {error} at {url}")


if __name__ == "__main__":
    main()
