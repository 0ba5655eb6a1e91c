"""What people do with Tidegate, as functions: release, plan, apply, bring down, look.

Never parses a command line, never prints, never knows which kind of target or store it works with.
"""
