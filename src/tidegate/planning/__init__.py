"""Planning: from pins and an observation to a plan. A pure function.

Never reads files, clocks, stores or targets; never decides anything that is not in its arguments. The same
function plans an `up`, a `down`, an undo, a recovery and a repair: they differ in what is wanted.
"""

from tidegate.planning.planner import Policy, make_plan
from tidegate.planning.tasks import plan_task
from tidegate.planning.wanted import wanted_by_changes, wanted_by_up
from tidegate.planning.waves import Limit

__all__ = ["Limit", "Policy", "make_plan", "plan_task", "wanted_by_changes", "wanted_by_up"]
