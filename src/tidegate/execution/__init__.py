"""Execution: claim, prepare, switch, observe, commit, finish; and back, if anything fails before the commit.

Makes no choices: what to do stands in the plan. Never knows a kind of target or store, never prints; it reports
`Progress` to whoever listens.
"""

from tidegate.execution.apply import Executor
from tidegate.execution.progress import Applied, ChangeResult, Fate, Moment, Progress, Stage
from tidegate.execution.recover import Recovery
from tidegate.execution.settle import Place

__all__ = ["Applied", "ChangeResult", "Executor", "Fate", "Moment", "Place", "Progress", "Recovery", "Stage"]
