"""Stores: environments, claims, revisions, releases, plans and the journal, kept in a SQL database.

Never decides what an environment should run, never reaches a target. `tidegate.stores.sql` takes a tenth of a second
to import, so commands that need no store should not.
"""
