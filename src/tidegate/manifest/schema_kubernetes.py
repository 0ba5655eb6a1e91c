"""The parts of the JSON Schemas that speak of Kubernetes and of images."""

from __future__ import annotations

from tidegate.manifest.cluster import EXPOSED, KEYS, MOST_REPLICAS
from tidegate.manifest.image import TOOLS
from tidegate.manifest.patches import KINDS
from tidegate.manifest.schema_parts import AN_IMAGE, LABEL, PINNED, TEXT, Json, key, table, whole
from tidegate.manifest.target import TARGETS
from tidegate.model.component import Kind

_QUANTITY: Json = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9.]+(m|k|M|G|T|P|[KMGTP]i)?$"}]}
_QUANTITIES: Json = {"type": "object", "additionalProperties": _QUANTITY}
_TOOL: Json = {"enum": list(TOOLS)}
_BUILDS_WITH = "The program that builds images. Default: the first of them that is there."


def target() -> Json:
    """`target:` of an environment."""
    keys = {
        "kind": key({"enum": list(TARGETS)}, "What it is.", "kubernetes"),
        "context": key(TEXT, "The context of the kubeconfig. Default: the current one.", "prod-eu"),
        "namespace": key(LABEL, "Default: ORGANIZATION-ENVIRONMENT.", "shop-prod"),
        "registry": key(TEXT, "Where images are pushed to and pulled from.", "registry.acme.example/shop"),
        "proxy": key(PINNED, "The image of Envoy that stands before each instance of a service.", AN_IMAGE),
    }
    return {"anyOf": [{"enum": list(TARGETS)}, table(keys) | {"required": ["kind"]}]}


def images() -> Json:
    """`images:` of `tidegate.yaml`."""
    return table(
        {
            "base": key(PINNED, "What releases are built in and run in that have no Dockerfile.", AN_IMAGE),
            "tool": key(_TOOL, _BUILDS_WITH, "buildah"),
        }
    )


def image() -> Json:
    """`image:` of a component."""
    keys = {
        "dockerfile": key(TEXT, "It is built by this file. Default: the Dockerfile beside the manifest.", "Dockerfile"),
        "base": key(PINNED, "It is built by its build command in this image, and runs in it.", AN_IMAGE),
        "ready": key(PINNED, "It is this image, which somebody else made.", AN_IMAGE),
        "tool": key(_TOOL, _BUILDS_WITH, "podman"),
    }
    return {"anyOf": [PINNED, table(keys)]}


def aliases() -> Json:
    """`aliases:` of a service."""
    keys = {"name": key(LABEL, "The name.", "shop"), "port": key(whole(1, 65_535), "Its port. Default 80.", 8080)}
    return {"type": "array", "items": {"anyOf": [LABEL, table(keys) | {"required": ["name"]}]}}


def kubernetes(kind: Kind) -> Json:
    """`kubernetes:` of a component."""
    keys = {
        "resources": key(
            table(
                {
                    "requests": key(_QUANTITIES, "What each instance is given.", {"cpu": "250m", "memory": "64Mi"}),
                    "limits": key(_QUANTITIES, "What it cannot exceed.", {"memory": "512Mi"}),
                }
            ),
            "Processors, memory and devices of each instance.",
            {"requests": {"cpu": "250m"}, "limits": {"memory": "512Mi"}},
        ),
        "expose": key(
            {"anyOf": [{"enum": list(EXPOSED[:2])}, _expose()]},
            "How people outside of the cluster reach it.",
            {"kind": "ingress", "host": "shop.acme.example"},
        ),
        "writable": key(
            {"type": "array", "items": {"type": "string", "pattern": "^/."}, "uniqueItems": True},
            "Folders that it may write to, empty at first; all else is read-only.",
            ["/var/cache/app"],
        ),
        "autoscale": key(_autoscale(), "How many instances, by what they do.", {"min": 2, "max": 10, "cpu": "80%"}),
        "patches": key(
            {
                "type": "object",
                "propertyNames": {"enum": list(KINDS[kind])},
                "additionalProperties": {"type": "object", "minProperties": 1},
            },
            "Kind of object: a JSON merge patch of the objects that are made for it.",
            {KINDS[kind][0]: {"metadata": {"annotations": {"acme.example/note": "x"}}}},
        ),
    }
    here = table({name: schema for name, schema in keys.items() if name in KEYS[kind]})
    return {"anyOf": [here, {"type": "object", "additionalProperties": here, "minProperties": 1}]}


def _expose() -> Json:
    keys = {
        "kind": key({"enum": list(EXPOSED)}, "How.", "gateway"),
        "host": key(TEXT, "The name that an ingress or gateway answers to.", "shop.acme.example"),
        "via": key(TEXT, "The ingress class, or the gateway as NAMESPACE/NAME.", "infra/public"),
    }
    return table(keys) | {"required": ["kind"]}


def _autoscale() -> Json:
    percentage = {"anyOf": [whole(1, 1000), {"type": "string", "pattern": "^[0-9]+ ?%?$"}]}
    keys = {
        "min": key(whole(1, MOST_REPLICAS), "At least so many instances.", 2),
        "max": key(whole(1, MOST_REPLICAS), "At most so many instances.", 10),
        "cpu": key(percentage, "How much of what it requested each shall use. Default 80%.", "80%"),
    }
    return table(keys) | {"required": ["min", "max"]}
