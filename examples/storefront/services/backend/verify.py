"""Asks new instances for a product that must be there. Runs before any visitor sees them; 0 means they are good.

TIDEGATE_URL is where the new instances answer.
"""

import json
import os
import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

KNOWN = "compass"

url = f"{os.environ['TIDEGATE_URL'].rstrip('/')}/api/products/{KNOWN}"
direct = build_opener(ProxyHandler({}))  # no proxy stands between a program and its own machine
try:
    with direct.open(url, timeout=5) as answer:
        product = json.load(answer)["product"]
except (URLError, OSError, ValueError, KeyError, TypeError) as error:
    sys.exit(f"the catalogue does not give its {KNOWN}: {error} at {url}")
if product["id"] != KNOWN or product["price_cents"] <= 0:
    sys.exit(f"the catalogue gives a wrong {KNOWN}: {product}")
print(f"{product['name']}: {product['price_cents'] / 100:.2f} EUR")
