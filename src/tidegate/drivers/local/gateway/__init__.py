"""The gateway: one Envoy process per project that gives every entry, edge and candidate a stable address on
127.0.0.1 and leads all of them from one instance group to another at once.

What is asked for is a `Table`; it is in force when `Gateway.apply` returns, and the former one still is when it
raises. Never starts or ends an instance, never chooses a port, never knows why traffic moves.
"""

from tidegate.drivers.local.gateway.gateway import Gateway
from tidegate.drivers.local.gateway.table import Listener, Role, Table, Traffic, Upstream

__all__ = ["Gateway", "Listener", "Role", "Table", "Traffic", "Upstream"]
