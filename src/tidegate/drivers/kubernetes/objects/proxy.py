"""The proxy before each instance of a service: Envoy, configured by its command line. Pure.

It counts answers, tells clients to close their connections before its instance goes, and reaches programs that listen
on 127.0.0.1 only. It never answers for a program that did, and changes nothing of what is said.
"""

from __future__ import annotations

import json
from typing import Any

from tidegate.drivers.kubernetes.names import PROXY, PROXY_PORT, STATS_PORT, TARGET_PORT
from tidegate.drivers.kubernetes.objects.metadata import literal
from tidegate.drivers.kubernetes.objects.security import CONTAINER
from tidegate.model.component import Health, HealthKind

Json = dict[str, Any]

READY_PATH = "/ready"
STATS_PATH = "/stats?format=json&filter=^http.inbound"
"""GET at STATS_PORT: `http.inbound.downstream_rq_completed`, `…_2xx` to `…_5xx`, `…_rq_active`, `…_cx_active`."""
DRAIN_PATH = "/drain_listeners"
"""GET or POST at STATS_PORT: from now on each answer asks for its connection to be closed. New ones are still taken."""
TCP_HEALTH_PATH = "/connects"
"""GET at STATS_PORT: 200 while the program takes connections."""

USER = 65532  # images of Envoy start as root and step down, which is not allowed here

_ADMIN = "@tidegate-proxy"  # in no folder: abstract sockets belong to the network of the pod
_PROGRAM, _ADMIN_CLUSTER = "program", "admin"
_KEPT_STATISTICS = (
    *({"exact": f"http.inbound.downstream_rq_{what}"} for what in ("1xx", "2xx", "3xx", "4xx", "5xx")),
    {"exact": "http.inbound.downstream_rq_completed"},
    {"exact": "http.inbound.downstream_rq_active"},
    {"exact": "http.inbound.downstream_cx_active"},
    {"prefix": f"cluster.{_PROGRAM}.membership_"},  # by which TCP_HEALTH_PATH is answered
)
# Below the 5 s after which uvicorn and node close idle connections, so that no request meets a closing one.
_PROGRAM_IDLE = "3s"
# Silence on a request or WebSocket; there is no limit to how long an answer may take as a whole.
_STREAM_IDLE = "3600s"
_NO_LIMIT = 1_000_000  # protecting nobody by refusing the 1,025th connection (Envoy's default)
# What comes for the kubelet's sake is no answer to anybody.
_KUBELET = "kube-probe/"

_type = "type.googleapis.com/envoy.{}".format


def proxy_container(image: str, port: int, health: Health) -> Json:
    """A native sidecar: up before the program starts, and gone after it."""
    command = ["envoy", "--config-yaml", json.dumps(configuration(port, health), separators=(",", ":"))]
    options = ["--concurrency", "1", "--disable-hot-restart", "--drain-strategy", "immediate", "--log-level", "warn"]
    container: Json = {
        "name": PROXY,
        "image": image,
        "restartPolicy": "Always",
        "command": [literal(part) for part in (*command, *options)],
        "ports": [
            {"name": TARGET_PORT, "containerPort": PROXY_PORT, "protocol": "TCP"},
            {"name": "stats", "containerPort": STATS_PORT, "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {**CONTAINER, "runAsUser": USER},
        # When a node or an autoscaler takes the instance away, nobody else tells its clients.
        "lifecycle": {"preStop": {"httpGet": {"path": DRAIN_PATH, "port": STATS_PORT, "scheme": "HTTP"}}},
    }
    if health.kind in {HealthKind.COMMAND, HealthKind.ALIVE}:  # the others are asked through the proxy anyhow
        probe = {"path": READY_PATH, "port": STATS_PORT, "scheme": "HTTP"}
        container["startupProbe"] = {"httpGet": probe, "periodSeconds": 1, "failureThreshold": 60}
    return container


def configuration(
    port: int, health: Health, *, inbound: int = PROXY_PORT, stats: int = STATS_PORT, admin: str = _ADMIN
) -> Json:
    """What Envoy starts with: `inbound` leads to 127.0.0.1:`port`, `stats` to what may be known and asked of it."""
    return {
        "node": {"id": "tidegate", "cluster": "tidegate"},
        "admin": {"address": {"pipe": {"path": admin}}},
        "static_resources": {
            "listeners": [_inbound(inbound, health), _stats(stats)],
            "clusters": [_program(port, health), _admin(admin)],
        },
        "stats_config": {
            "use_all_default_tags": False,
            "stats_matcher": {"inclusion_list": {"patterns": list(_KEPT_STATISTICS)}},
        },
    }


def _inbound(port: int, health: Health) -> Json:
    filters = []
    if health.kind is HealthKind.HTTP:
        filters.append(_health_filter({"pass_through_mode": True}, health.check))
    return _listener(
        "inbound",
        port,
        filters,
        [{"match": {"prefix": "/"}, "route": {"cluster": _PROGRAM, "timeout": "0s", "retry_policy": _NEVER_SENT}}],
        upgrade_configs=[{"upgrade_type": "websocket"}],
    )


# A program may close an idle connection at the moment that a request is about to be written to it. It never saw that
# request, so it may have it on another one. Everything else could be done twice and is the client's to repeat.
_NEVER_SENT: Json = {"retry_on": "reset-before-request,refused-stream", "num_retries": 2}


def _stats(port: int) -> Json:
    connects = _health_filter(
        {"pass_through_mode": False, "cluster_min_healthy_percentages": {_PROGRAM: {"value": 100}}}, TCP_HEALTH_PATH, ""
    )
    ask = {
        "name": "tidegate.drain",
        "typed_config": {
            "@type": _type("extensions.filters.http.lua.v3.Lua"),
            "default_source_code": {"inline_string": _ASK_TO_DRAIN},
        },
    }
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    admin = {"cluster": _ADMIN_CLUSTER, "timeout": "5s"}
    routes: list[Json] = [
        {"match": {"path": path, "headers": [get]}, "route": admin} for path in ("/stats", READY_PATH)
    ]
    routes.append({"match": {"path": DRAIN_PATH}, "route": admin})
    routes.append({"match": {"prefix": "/"}, "direct_response": {"status": 404}})
    return _listener("stats", port, [connects, ask], routes)


# The kubelet can only GET, and the administration of Envoy wants POST.
_ASK_TO_DRAIN = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  if path == "{DRAIN_PATH}" or path:sub(1, {len(DRAIN_PATH) + 1}) == "{DRAIN_PATH}?" then
    headers:replace(":method", "POST")
    headers:replace(":path", "{DRAIN_PATH}?graceful&skip_exit")
  end
end
"""


def _listener(name: str, port: int, filters: list[Json], routes: list[Json], **more: Any) -> Json:
    manager = {
        "@type": _type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            *filters,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": _type("extensions.filters.http.router.v3.Router"),
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "early_header_mutation_extensions": [_HEADERS],
        # Programs see what the client sent, and clients what the program answered.
        "use_remote_address": False,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": _STREAM_IDLE,
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "127.0.0.1"},
        **more,
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},  # noqa: S104 - that of the pod
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


_HEADERS: Json = {
    "name": "envoy.http.early_header_mutation.header_mutation",
    "typed_config": {
        "@type": _type("extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
        "mutations": [
            # With these a client could make the proxy repeat requests, or cut them.
            {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
            {
                "append": {
                    "header": {
                        "key": "x-forwarded-for",
                        "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
                    },
                    "append_action": "APPEND_IF_EXISTS_OR_ADD",
                }
            },
        ],
    },
}


def _health_filter(how: Json, path: str, agent: str = _KUBELET) -> Json:
    headers: list[Json] = [{"name": ":path", "string_match": {"exact": path}}]
    if agent:
        headers.append({"name": "user-agent", "string_match": {"prefix": agent}})
    return {
        "name": "envoy.filters.http.health_check",
        "typed_config": {"@type": _type("extensions.filters.http.health_check.v3.HealthCheck"), **how}
        | {"headers": headers},
    }


def _program(port: int, health: Health) -> Json:
    """The program speaks what its client speaks: HTTP/1.1, or HTTP/2 (gRPC)."""
    found = _cluster(_PROGRAM, {"socket_address": {"address": "127.0.0.1", "port_value": port}})
    found["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _type("extensions.upstreams.http.v3.HttpProtocolOptions"),
            "common_http_protocol_options": {"idle_timeout": _PROGRAM_IDLE},
            "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
        }
    }
    if health.kind is HealthKind.TCP:
        interval = f"{max(health.interval, 100) / 1000:.3f}s"
        found["health_checks"] = [
            {
                "tcp_health_check": {},
                "timeout": f"{health.timeout / 1000:.3f}s",
                "interval": interval,
                "no_traffic_interval": interval,
                "unhealthy_interval": "0.200s",
                "unhealthy_threshold": 1,  # the kubelet counts them
                "healthy_threshold": 1,
            }
        ]
        # One that refused the last connection is asked all the same: there is no other.
        found["common_lb_config"] = {"healthy_panic_threshold": {"value": 100}}
    return found


def _admin(path: str) -> Json:
    return _cluster(_ADMIN_CLUSTER, {"pipe": {"path": path}})


def _cluster(name: str, address: Json) -> Json:
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "circuit_breakers": {"thresholds": [limits]},
    }
