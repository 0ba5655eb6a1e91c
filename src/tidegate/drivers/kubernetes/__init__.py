"""Environments as namespaces: groups are Deployments, entries and edges are Services. See docs/decisions/0011.

Talks to the API server alone, never to a node. Keeps nothing on this machine: what has to be known is on the objects.
"""
