"""A real Kubernetes cluster of one node on this machine, for tests: no Docker, no virtual machine.

Everything runs in namespaces of its own (network, mounts, processes), so that ending the first process ends it all, and
the host's firewall, mounts and services stay as they were. It is no part of the product, and the product knows nothing
of it.
"""
