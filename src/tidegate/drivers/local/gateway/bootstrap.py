"""What Envoy starts with, and how a configuration is written down for a check. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tidegate.drivers.local.gateway.rendering import (
    LISTENER_HEADER,
    Resource,
    file_source,
    filter_chain,
    route_source,
    type_url,
)

PROBE = "tidegate.probe"
"""The name of the listener on a unix socket that answers with the version of the route table in force."""

_NODE = {"id": "tidegate", "cluster": "tidegate"}

_KEPT_STATISTICS = (
    {"suffix": ".downstream_rq_completed"},
    {"suffix": ".downstream_rq_5xx"},
    {"suffix": ".upstream_rq_active"},
    {"suffix": ".upstream_rq_pending_active"},
    {"prefix": "cluster_manager.cds."},
    {"prefix": "listener_manager.lds."},
    {"prefix": f"http.{PROBE}.rds."},
)


def bootstrap(*, admin: Path, probe: Path, cluster_file: Path, listener_file: Path, route_file: Path) -> Resource:
    """What Envoy starts with: where its files are, which statistics to keep, and two sockets for us alone.

    The probe is a listener like all others, served by the same worker. What it answers is what traffic meets. It also
    holds on to the route table while there is no other listener.
    """
    return {
        "node": _NODE,
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {
            "listeners": [_probe({"pipe": {"path": str(probe), "mode": 0o600}}, {"rds": route_source(route_file)})]
        },
        "dynamic_resources": {
            "cds_config": file_source(cluster_file),
            "lds_config": file_source(listener_file),
        },
        "stats_config": {
            "use_all_default_tags": False,
            "stats_matcher": {"inclusion_list": {"patterns": list(_KEPT_STATISTICS)}},
        },
    }


def _probe(address: Resource, routes: Resource) -> Resource:
    set_header = {
        "append": {
            "header": {"key": LISTENER_HEADER, "value": PROBE},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }
    mutation = {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": type_url("extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [set_header],
        },
    }
    connections = {"stat_prefix": PROBE, "early_header_mutation_extensions": [mutation], **routes}
    return {"name": PROBE, "address": address, "filter_chains": [filter_chain(connections)]}


def with_probe(routes: Resource, version: str) -> Resource:
    """The route table, and in it the probe's answer: this version."""
    host = {
        "name": PROBE,
        "domains": [PROBE],
        "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": version}}},
        ],
    }
    return {**routes, "virtual_hosts": [*routes["virtual_hosts"], host]}


def without_probe(routes: Resource) -> Resource:
    """The route table as it was before `with_probe`."""
    return {**routes, "virtual_hosts": [host for host in routes["virtual_hosts"] if host["name"] != PROBE]}


def static(clusters: Iterable[Resource], listeners: Iterable[Resource], routes: Resource) -> Resource:
    """The same resources as one configuration, for Envoy to check without serving it.

    Listeners go on naming the file with the route table, which is not read for a check, so the table is there once
    more as a whole. Routes may lead to clusters that are left out.
    """
    whole_table = {"route_config": {**_untyped(routes), "validate_clusters": False}}
    any_address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {
        "node": _NODE,
        "static_resources": {
            "clusters": [_untyped(cluster) for cluster in clusters],
            "listeners": [*(_untyped(listener) for listener in listeners), _probe(any_address, whole_table)],
        },
    }


def _untyped(resource: Resource) -> Resource:
    return {key: value for key, value in resource.items() if key != "@type"}
