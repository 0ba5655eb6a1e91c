"""One file per command: its arguments, one call, one view.

Modules here import only what parsing needs; what a command works with is imported when it runs, so that
`tidegate --help` and shell completion answer at once.
"""
