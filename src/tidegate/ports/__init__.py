"""What the kernel asks of the world, as Protocols: target, store, artifacts, clock, secrets.

Never implements anything; drivers and stores do.
"""
