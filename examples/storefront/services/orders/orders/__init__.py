"""The orders of the shop as a JSON API.

Takes orders; whoever fulfils them is told by PostgreSQL.
"""
