"""Reads the orders through the new instances. Runs before any visitor sees them; 0 means they are good.

TIDEGATE_URL is where the new instances answer.
"""

import json
import os
import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

url = f"{os.environ['TIDEGATE_URL'].rstrip('/')}/orders"
direct = build_opener(ProxyHandler({}))  # no proxy stands between a program and its own machine
try:
    with direct.open(url, timeout=5) as answer:
        orders = json.load(answer)["orders"]
except (URLError, OSError, ValueError, KeyError, TypeError) as error:
    sys.exit(f"the orders cannot be read: {error} at {url}")
print(f"{len(orders)} orders can be read")
