"""Registries, for commands that need no workspace."""

from __future__ import annotations

from collections.abc import Collection

from tidegate.builds.image_tags import Lookup, look_up


async def image_digests(images: Collection[str]) -> Lookup:
    """Which digests the tags of images mean now, as far as their registries tell. Raises nothing."""
    return await look_up(images)
