"""What a checkout says about its organization, environments and components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tidegate.model.component import Kind, Runtime
from tidegate.model.pins import Shape, Value

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
class EnvironmentSpec:
    """One environment. `components` are the names of those that are in it.

    `observe` is in seconds, `max_errors` in 1/10,000 of all answers. `env` is given to every component here, sorted
    by name. `lineage` is this environment, the one it is like, the one that is like, and so on.
    """

    name: str
    after: tuple[str, ...] = ()
    isolation: str | None = None
    components: frozenset[str] = frozenset()
    observe: int = 5
    max_errors: int = 100
    target: str = "local"
    env: tuple[tuple[str, Value], ...] = ()
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentSpec:
    """One component, as its manifest in this checkout describes it.

    All paths are relative to the root of the project, with forward slashes. `sources` are the folders and files that
    make up its inputs, `settings_files` the absolute path of the settings file of each environment it is in.
    `positions` tells where a key stands ("port", "needs.backend", "replicas.prod"), for messages.
    """

    name: str
    kind: Kind
    team: str
    folder: str
    manifest: str
    sources: tuple[str, ...]
    build: str
    runtime: Runtime
    settings: str | None = None
    replicas: PerEnvironment[int] = PerEnvironment()
    exposed: PerEnvironment[bool] = PerEnvironment()
    env: Mapping[str, PerEnvironment[Value]] = field(default_factory=dict)
    settings_files: Mapping[str, Path] = field(default_factory=dict)
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
        return Shape(
            self.replicas.at(spec.lineage) or 1,
            self.exposed.at(spec.lineage) or False,
            tuple(sorted(env.items(), key=lambda item: item[0])),
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
    """

    root: Path
    organization: str
    teams: Mapping[str, Team]
    environments: Mapping[str, EnvironmentSpec]
    components: Mapping[str, ComponentSpec]
    build_pass: tuple[str, ...] = ()

    def present(self, environment: str) -> tuple[ComponentSpec, ...]:
        """The components of one environment, sorted by name."""
        return tuple(self.components[name] for name in sorted(self.environments[environment].components))
