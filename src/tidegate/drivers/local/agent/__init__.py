"""The agent: one detached process per project that supervises instances, moves traffic through the gateway and
refuses old epochs.

It is told in full what to run (command, folder, environment variables, health) and knows no plans, no releases and
no store. It never keeps a secret value anywhere but in memory, never decides what an environment should be, and
its death ends nothing: services and gateway go on, and the next agent adopts them.

Lean on purpose: asyncio, dataclasses and json, no framework, since its start is part of every first `tidegate up`.
"""
