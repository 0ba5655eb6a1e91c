"""Manifests: what `tidegate.yaml` and the files beside the components say, read with every mistake at once.

Never writes a file, never runs a command, never looks at a store or a target.
"""

from tidegate.manifest.models import ComponentSpec, EnvironmentSpec, PerEnvironment, Project, Team
from tidegate.manifest.project import find_root, load

__all__ = ["ComponentSpec", "EnvironmentSpec", "PerEnvironment", "Project", "Team", "find_root", "load"]
