"""The environment variables by which programs are told how to reach the network: certificates, proxies, indexes."""

from __future__ import annotations

from collections.abc import Mapping

NETWORK_VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "UV_SYSTEM_CERTS",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "npm_config_registry",
)


def network_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those that are set there, and not to nothing."""
    return tuple(name for name in NETWORK_VARIABLES if environment.get(name))
