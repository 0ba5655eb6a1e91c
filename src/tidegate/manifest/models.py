"""What a checkout says about its organization, environments and components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from tidegate.errors import Problem
from tidegate.model.address import url_variable
from tidegate.model.cluster import ClusterShape, Exposure
from tidegate.model.component import NO_IMAGE, ImageRecipe, Kind, Runtime
from tidegate.model.pins import Resource, Shape, Value

T = TypeVar("T")
Position = tuple[int, int]  # line and column, from 1


@dataclass(frozen=True)
class Team:
    """Who owns components; `members` as they are called elsewhere (mail addresses, accounts)."""

    name: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class PerEnvironment(Generic[T]):
    """One value for some environments, and a default (None: there is none) for the others."""

    default: T | None = None
    values: Mapping[str, T] = field(default_factory=dict)

    def at(self, lineage: tuple[str, ...]) -> T | None:
        """The value of the first environment of `lineage` that has one, else the default."""
        for environment in lineage:
            if environment in self.values:
                return self.values[environment]
        return self.default


@dataclass(frozen=True)
class MaxExtra:
    """How much of the old may run beside its successors while an environment changes; None: no limit. `memory` in
    bytes."""

    instances: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class TargetSpec:
    """Where an environment lives. For `kubernetes`: `context` of the kubeconfig ("" for the current one), `namespace`
    ("" for ORGANIZATION-ENVIRONMENT), `registry` that images are pushed to and pulled from ("" for the one that the
    cluster announces), and `proxy`, the image of Envoy, pinned by digest, that stands before each instance of a service
    ("" for none: then answers are not counted, and programs have to listen on all addresses)."""

    kind: str = "local"
    context: str = ""
    namespace: str = ""
    registry: str = ""
    proxy: str = ""


@dataclass(frozen=True)
class EnvironmentSpec:
    """One environment. `components` are the names of those that are in it.

    `observe` is in seconds, `max_errors` in 1/10,000 of all answers. `env` is given to every component here, sorted
    by name. `lineage` is this environment, the one it is like, the one that is like, and so on. `store` and `artifacts`
    are where its revisions and the bytes of its releases are kept (URL, path, or a secret that holds one); None: in
    the project's own folder.
    """

    name: str
    after: tuple[str, ...] = ()
    isolation: str | None = None
    components: frozenset[str] = frozenset()
    observe: int = 5
    max_errors: int = 100
    target: TargetSpec = TargetSpec()
    env: tuple[tuple[str, Value], ...] = ()
    lineage: tuple[str, ...] = ()
    max_extra: MaxExtra = MaxExtra()
    store: Value | None = None
    artifacts: Value | None = None


@dataclass(frozen=True)
class ComponentSpec:
    """One component, as its manifest in this checkout describes it.

    All paths are relative to the root of the project, with forward slashes. `sources` are the folders and files that
    make up its inputs, `settings_files` the absolute path of the settings file of each environment it is in.
    `positions` tells where a key stands ("port", "needs.backend", "replicas.prod"), for messages.
    `resources`: what each resource it uses is in each environment, run there or a URL. `cluster` is what holds where
    it runs on Kubernetes (aliases included); there `expose` alone means a node port.
    """

    name: str
    kind: Kind
    team: str
    folder: str
    manifest: str
    sources: tuple[str, ...]
    build: str
    runtime: Runtime
    image: ImageRecipe = NO_IMAGE
    settings: str | None = None
    replicas: PerEnvironment[int] = PerEnvironment()
    exposed: PerEnvironment[bool] = PerEnvironment()
    env: Mapping[str, PerEnvironment[Value]] = field(default_factory=dict)
    settings_files: Mapping[str, Path] = field(default_factory=dict)
    resources: Mapping[str, PerEnvironment[Resource | Value]] = field(default_factory=dict)
    cluster: PerEnvironment[ClusterShape] = PerEnvironment()
    environments: Mapping[str, EnvironmentSpec] = field(default_factory=dict, repr=False, compare=False)
    positions: Mapping[str, Position] = field(default_factory=dict, repr=False, compare=False)

    def shape(self, environment: str) -> Shape:
        """Its shape in one environment of the project. What the component says wins over what the environment says,
        and what is said for an environment also holds in those that are `like` it."""
        spec = self.environments[environment]
        env = dict(spec.env)
        for name, values in self.env.items():
            value = values.at(spec.lineage)
            if value is not None:
                env[name] = value
        run = {}
        for name, kinds in self.resources.items():
            resource = kinds.at(spec.lineage)
            if isinstance(resource, Resource):
                run[name] = resource
            elif resource is not None:
                env[url_variable(name)] = resource
        exposed = self.exposed.at(spec.lineage) or False
        cluster = None
        if spec.target.kind == "kubernetes":
            cluster = self.cluster.at(spec.lineage) or ClusterShape()
            if exposed and cluster.expose is Exposure.INSIDE:
                cluster = replace(cluster, expose=Exposure.NODE_PORT)
            exposed = cluster.expose is not Exposure.INSIDE
        return Shape(
            self.replicas.at(spec.lineage) or 1,
            exposed,
            tuple(sorted(env.items(), key=lambda item: item[0])),
            tuple(sorted(run.items(), key=lambda item: item[0])),
            cluster,
        )

    def settings_file(self, environment: str) -> Path | None:
        """The settings file of one environment; None if the component has no settings."""
        return self.settings_files.get(environment)

    def position(self, key: str) -> Position:
        """Where `key` stands in the manifest; its beginning if it is not written there."""
        return self.positions.get(key, (1, 1))


@dataclass(frozen=True)
class Project:
    """A checkout: everything sorted by name but environments, which keep the order of the file.

    `build_pass` names the variables of the caller's environment that builds get besides PATH, HOME and LANG.
    `resources` are all that tidegate.yaml has. `store` and `artifacts` hold for environments that name none. `notes`
    are no mistakes, but worth a word.
    """

    root: Path
    organization: str
    teams: Mapping[str, Team]
    environments: Mapping[str, EnvironmentSpec]
    components: Mapping[str, ComponentSpec]
    build_pass: tuple[str, ...] = ()
    resources: Mapping[str, PerEnvironment[Resource | Value]] = field(default_factory=dict)
    store: Value | None = None
    artifacts: Value | None = None
    notes: tuple[Problem, ...] = ()

    def present(self, environment: str) -> tuple[ComponentSpec, ...]:
        """The components of one environment, sorted by name."""
        return tuple(self.components[name] for name in sorted(self.environments[environment].components))
