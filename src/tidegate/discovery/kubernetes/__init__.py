"""Kubernetes YAML that a team has already, and the manifests of Tidegate that mean the same, for `tidegate import`.

Only reads files: asks no cluster and no registry. Values of Secrets are never looked at. Whatever is in the
files and not in the proposal is said, one line each with its file and line.
"""

from tidegate.discovery.kubernetes.contexts import current_context
from tidegate.discovery.kubernetes.files import Where
from tidegate.discovery.kubernetes.importing import Imported, import_folder

__all__ = ["Imported", "Where", "current_context", "import_folder"]
