"""What environments on Kubernetes are put together from. Loaded only where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from tidegate.app.workspace import Parts
from tidegate.builds.image_artifacts import ImageArtifacts
from tidegate.builds.image_build import ImageBuilder
from tidegate.builds.image_names import Announced, announced, registry_at
from tidegate.drivers.kubernetes.client import Api
from tidegate.drivers.kubernetes.errors import ForbiddenError
from tidegate.drivers.kubernetes.kinds import CONFIG_MAP
from tidegate.drivers.kubernetes.permissions import REGISTRY_MAP, REGISTRY_NAMESPACE
from tidegate.drivers.kubernetes.target import KubernetesTarget, Location
from tidegate.errors import ReleaseError
from tidegate.manifest import Project
from tidegate.manifest.models import TargetSpec
from tidegate.ports.secrets import Secrets
from tidegate.ports.store import Store

HOSTING = "localRegistryHosting.v1"


def open_cluster(
    spec: TargetSpec,
    project: Project,
    store: Store,
    *,
    secrets: Secrets,
    folder: Path,
    logs: Path,
    passed: Mapping[str, str],
    shared: bool,
    opened: AsyncExitStack,
) -> Parts:
    """The parts for environments with this target. `folder` is where this machine says what it uses, `logs` where logs
    of builds go, `passed` the variables that builds see. Asks nobody yet."""
    api = Api.connect(spec.context)
    artifacts = ImageArtifacts(folder, registry=partial(_registry, spec, api))
    opened.push_async_callback(artifacts.aclose)
    own = [each for each in project.environments.values() if each.target == spec]
    location = Location(
        project.organization,
        partial(_namespace, spec, project.organization),
        spec.proxy,
        alone=any(each.isolation == "server" for each in own),
    )
    target = KubernetesTarget(api, location, releases=store, images=artifacts, secrets=secrets, store=store.identity)
    opened.push_async_callback(target.close)
    builder = ImageBuilder(project.root, artifacts, passed, logs=logs)
    return Parts(store, target, artifacts, builder, shared=shared)


def _namespace(spec: TargetSpec, organization: str, environment: str) -> str:
    return spec.namespace or f"{organization}-{environment}"


async def _registry(spec: TargetSpec, api: Api) -> Announced:
    """What tidegate.yaml says, else what the cluster says of itself (KEP-1755). Raises `ReleaseError` if neither says
    anything, `TargetError` if the cluster cannot be asked."""
    if spec.registry:
        return registry_at(spec.registry)
    try:
        found = await api.get(CONFIG_MAP, REGISTRY_MAP, REGISTRY_NAMESPACE)
    except ForbiddenError as error:
        raise _no_registry(api, str(error)) from error
    if found is None or HOSTING not in found.get("data", {}):
        raise _no_registry(api, "The cluster announces none.")
    return announced(found["data"][HOSTING])


def _no_registry(api: Api, why: str) -> ReleaseError:
    return ReleaseError(
        "cannot tell to which registry images go",
        f"tidegate.yaml names none for the context {api.context}. {why}",
        hint="Write `registry: HOST[:PORT][/PATH]` into the target of the environment.",
    )
