"""Drivers: what makes the ports real on one kind of machinery each (local processes, secrets from the environment).

Only here is a vendor's program or library used, and its errors translated into `tidegate.errors`. Drivers never
plan, never read manifests, never know the store, and are imported by `tidegate.composition` alone.
"""
