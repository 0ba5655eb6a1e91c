"""The catalogue of the shop as a JSON API.

Never writes: the catalogue is part of the release.
"""
