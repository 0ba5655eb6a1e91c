"""The local target: environments as processes on this machine behind one gateway per project.

`target` is what the kernel calls; it talks through `client` to `agent`, a detached process per project that
supervises, routes and fences. The agent knows groups, ports and listeners; it never knows plans, releases or the
store, and nothing in this package decides what an environment should be.

Imports nothing here, so that the agent starts fast.
"""
