"""From a table to Envoy's configuration, as plain JSON. Pure.

Listeners and clusters say what exists; the one route table, shared by all listeners, says what leads where. A
listener never changes while it lives, so moving traffic is one new route table and touches no connection.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidegate.drivers.local.gateway.table import Listener, Table, Upstream
from tidegate.drivers.local.gateway.tracing import BEGIN_TRACE, METADATA

type_url = "type.googleapis.com/envoy.{}".format

Resource = dict[str, Any]

LISTENER_HEADER = "x-tidegate-listener"
"""Set by every listener to its own name, whatever the client sent; chooses the route; never reaches an instance."""

ROUTE_TABLE = "tidegate"

_TRACE_FILTER = "tidegate.trace"

# Below the 5 s after which uvicorn and node close idle connections, so that no request meets a closing one.
_UPSTREAM_IDLE = "3s"
_CONNECT_TIMEOUT = "1s"
# Silence on a request or WebSocket; there is no limit to how long an answer may take as a whole.
_STREAM_IDLE = "3600s"

# A gateway on one machine protects nobody by refusing the 1,025th connection (Envoy's default).
_NO_LIMIT = 1_000_000


def clusters(table: Table) -> dict[str, Resource]:
    """One cluster for each upstream, by name."""
    return {upstream.name: _cluster(upstream) for upstream in table.upstreams}


def _cluster(upstream: Upstream) -> Resource:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
        for host, port in upstream.endpoints
    ]
    return {
        "@type": type_url("config.cluster.v3.Cluster"),
        "name": upstream.name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": upstream.name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": _NO_LIMIT,
                    "max_pending_requests": _NO_LIMIT,
                    "max_requests": _NO_LIMIT,
                    "max_retries": _NO_LIMIT,
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": type_url("extensions.upstreams.http.v3.HttpProtocolOptions"),
                "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def routes(table: Table) -> dict[str, Resource]:
    """The one route table, by its name: a virtual host for each listener."""
    upstreams = {upstream.name: upstream for upstream in table.upstreams}
    hosts = [
        _virtual_host(listener, upstreams[listener.to] if listener.to is not None else None)
        for listener in sorted(table.listeners, key=lambda listener: listener.name)
    ]
    return {
        ROUTE_TABLE: {
            "@type": type_url("config.route.v3.RouteConfiguration"),
            "name": ROUTE_TABLE,
            "vhost_header": LISTENER_HEADER,
            "request_headers_to_remove": [LISTENER_HEADER, "x-envoy-internal"],
            "virtual_hosts": [*hosts, _NO_SUCH_ADDRESS],
            # Here and not in the listeners: one script state for all, instead of one (180 kB) for each.
            "typed_per_filter_config": {
                _TRACE_FILTER: {
                    "@type": type_url("extensions.filters.http.lua.v3.LuaPerRoute"),
                    "source_code": {"inline_string": BEGIN_TRACE},
                }
            },
        }
    }


# For what still comes on the connections of a listener that was removed, and never a 404 that a caller believes.
_NO_SUCH_ADDRESS: Resource = {
    "name": "tidegate.none",
    "domains": ["*"],
    "routes": [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 503, "body": {"inline_string": "this address was removed\n"}},
        }
    ],
}


def _virtual_host(listener: Listener, upstream: Upstream | None) -> Resource:
    callee = {"component": listener.need, "group": "", "release": ""}
    if upstream is None:
        action: Resource = {
            "direct_response": {
                "status": 503,
                "body": {"inline_string": f"{listener.name} leads nowhere: no instance group is behind it\n"},
            }
        }
    else:
        callee = {"component": upstream.component, "group": upstream.group, "release": upstream.release}
        action = {"route": {"cluster": upstream.name, "timeout": "0s", "retry_policy": _RETRY_WHAT_WAS_NEVER_SENT}}
    route = {"match": {"prefix": "/"}, "metadata": {"filter_metadata": {METADATA: callee}}, **action}
    return {"name": listener.name, "domains": [listener.name], "routes": [route]}


# An instance that refuses connections, or is gone before the request was written, never saw the request: another
# one may have it. Everything else could be done twice and is the client's to repeat.
_RETRY_WHAT_WAS_NEVER_SENT: Resource = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 5,
    "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": type_url("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")},
        }
    ],
    # How often to draw again when the one drawn was tried before; with half of the group gone one in 10⁹ fails.
    "host_selection_retry_max_attempts": 30,
}


def listeners(table: Table, route_file: Path, access_logs: Callable[[str], Path]) -> dict[str, Resource]:
    """One listener for each address, by name; they read their routes from `route_file`."""
    source = route_source(route_file)
    return {
        listener.name: _listener(listener, source, access_logs(listener.environment)) for listener in table.listeners
    }


def _listener(listener: Listener, source: Resource, access_log: Path) -> Resource:
    return {
        "@type": type_url("config.listener.v3.Listener"),
        "name": listener.name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": listener.port}},
        # Without this a port that another program of the same user shares willingly would be taken silently.
        "enable_reuse_port": False,
        "filter_chains": [
            filter_chain(
                {
                    "stat_prefix": listener.name,
                    "rds": source,
                    "early_header_mutation_extensions": [_header_mutation(listener)],
                    "access_log": [_access_log(listener, access_log)],
                    "upgrade_configs": [{"upgrade_type": "websocket"}],
                    # Applications see what the client sent: their own Server header, its Host, the path unchanged,
                    # x-forwarded-proto of a TLS proxy in front. x-forwarded-for is appended by the header mutation,
                    # since Envoy itself would write this machine's outer address for clients on loopback.
                    "use_remote_address": False,
                    "server_header_transformation": "PASS_THROUGH",
                    "stream_idle_timeout": _STREAM_IDLE,
                    "http_protocol_options": {
                        "accept_http_10": True,
                        "default_host_for_http_10": f"127.0.0.1:{listener.port}",
                    },
                }
            )
        ],
    }


def port_of(listener: Resource) -> int:
    """The port of a rendered listener."""
    return int(listener["address"]["socket_address"]["port_value"])


def filter_chain(connection_manager: Resource) -> Resource:
    """HTTP with traces and routing; `connection_manager` says the rest."""
    return {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": type_url("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
                    "http_filters": [
                        {
                            "name": _TRACE_FILTER,
                            "typed_config": {"@type": type_url("extensions.filters.http.lua.v3.Lua")},
                        },
                        {
                            "name": "envoy.filters.http.router",
                            "typed_config": {
                                "@type": type_url("extensions.filters.http.router.v3.Router"),
                                "suppress_envoy_headers": True,
                            },
                        },
                    ],
                    **connection_manager,
                },
            }
        ]
    }


def _header_mutation(listener: Listener) -> Resource:
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": type_url("extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [
                # With these a client could make the gateway repeat requests, or cut them.
                {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
                _set_header(LISTENER_HEADER, _literal(listener.name), "OVERWRITE_IF_EXISTS_OR_ADD"),
                _set_header(
                    "x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "APPEND_IF_EXISTS_OR_ADD"
                ),
            ],
        },
    }


def _set_header(name: str, value: str, action: str) -> Resource:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


def _access_log(listener: Listener, path: Path) -> Resource:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": type_url("extensions.access_loggers.file.v3.FileAccessLog"),
            "path": str(path),
            "log_format": {
                "json_format": {
                    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
                    "method": "%REQ(:METHOD)%",
                    "path": "%PATH(NQ)%",  # without the query, where secrets like to travel
                    "status": "%RESPONSE_CODE%",
                    "duration_ms": "%DURATION%",
                    "bytes_received": "%BYTES_RECEIVED%",
                    "bytes_sent": "%BYTES_SENT%",
                    "flags": "%RESPONSE_FLAGS%",
                    "role": listener.role.value,
                    "address": _literal(listener.name),
                    "caller": {
                        "component": _literal(listener.caller),
                        "group": _literal(listener.caller_group),
                        "release": _literal(listener.caller_release),
                    },
                    "callee": {key: f"%METADATA(ROUTE:{METADATA}:{key})%" for key in ("component", "group", "release")},
                    "instance": "%UPSTREAM_HOST%",
                    "trace": f"%DYNAMIC_METADATA({METADATA}:trace)%",
                }
            },
        },
    }


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def route_source(route_file: Path) -> Resource:
    """Says that the one route table stands in this file; the same words everywhere, so Envoy reads it once."""
    return {"route_config_name": ROUTE_TABLE, "config_source": file_source(route_file)}


def file_source(path: Path) -> Resource:
    """Says that resources stand in this file; Envoy reads it again whenever another is renamed onto it."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
