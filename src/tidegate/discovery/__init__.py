"""Discovery: reads what a project already has and proposes manifests for `tidegate init`.

Never runs anything it finds, never overwrites a file, and says what it could not find out.
"""

from tidegate.discovery.proposal import Proposal, propose, write

__all__ = ["Proposal", "propose", "write"]
