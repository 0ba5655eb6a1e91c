"""What is wrong with a patch, before anything runs."""

from __future__ import annotations

import pytest

from tests.kubernetes_pure.groups import Json
from tidegate.drivers.kubernetes.patches import mistakes

GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"
DOCUMENT: Json = {
    "components": {
        "schemas": {
            "Deployment": {
                GROUP_VERSION_KIND: [{"group": "apps", "version": "v1", "kind": "Deployment"}],
                "type": "object",
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": {"default": {}, "allOf": [{"$ref": "#/components/schemas/Spec"}]},
                },
            },
            "Spec": {
                "type": "object",
                "required": ["selector"],
                "properties": {
                    "selector": {"type": "object", "additionalProperties": {"type": "string"}},
                    "replicas": {"type": "integer"},
                    "paused": {"type": "boolean"},
                    "strategy": {"type": "string", "enum": ["Recreate", "RollingUpdate"]},
                    "maxSurge": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                    "anything": {"x-kubernetes-preserve-unknown-fields": True},
                },
            },
            "Item": {"type": "object", "properties": {"name": {"type": "string"}}},
        }
    }
}


def wrong(**spec: object) -> list[str]:
    obj: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a-r1"}}
    return mistakes(obj | {"spec": {"selector": {}, **spec}}, DOCUMENT)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replcas": 3}, "there is no field spec.replcas; replicas was probably meant"),
        ({"zzz": 3}, "there is no field spec.zzz; there are anything, items"),
        ({"replicas": "3"}, "spec.replicas has to be a whole number, and is '3'"),
        ({"replicas": True}, "spec.replicas has to be a whole number, and is True"),
        ({"paused": 1}, "spec.paused has to be true or false, and is 1"),
        ({"maxSurge": []}, "spec.maxSurge has to be a whole number or a text, and is []"),
        ({"strategy": "recreate"}, "spec.strategy is 'recreate'; Recreate was probably meant"),
        ({"items": [{}, {"nme": "x"}]}, "there is no field spec.items[1].nme; name was probably meant"),
        ({"selector": {"a": 1}}, "spec.selector.a has to be a text, and is 1"),
        ({"selector": None}, "spec.selector is missing"),
    ],
)
def test_a_mistake_is_named_with_its_path(spec: Json, message: str) -> None:
    """And with what was probably meant."""
    (found,) = wrong(**spec)
    assert found.startswith(f"Deployment a-r1: {message}")


def test_what_is_right_is_not_complained_about() -> None:
    """Unset fields are null, and some fields hold anything."""
    assert wrong(replicas=2, paused=None, maxSurge="25%", items=[{"name": "x"}], anything={"a": [1]}) == []


def test_a_kind_that_the_cluster_does_not_know_is_said() -> None:
    """A gateway, say."""
    obj = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "x"}}
    assert mistakes(obj, DOCUMENT) == ["HTTPRoute x: the API server knows no HTTPRoute of gateway.networking.k8s.io/v1"]
