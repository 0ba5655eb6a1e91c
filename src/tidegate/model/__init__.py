"""The words of Tidegate as frozen, pure data: addresses, components, releases, pins, revisions, observations,
steps and plans.

Never does input or output, never reads a clock, never knows a target.
"""
