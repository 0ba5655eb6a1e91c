"""The command line: parse, call, render.

Never decides what happens to an environment; that is `tidegate.app`. Nothing else in Tidegate prints.
"""
