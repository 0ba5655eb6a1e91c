"""`image:` of components, and `images:` of `tidegate.yaml`: how releases become images."""

from __future__ import annotations

import re
from dataclasses import replace
from posixpath import dirname

from tidegate.manifest.fields import Fields, describe, one_of, path, text
from tidegate.manifest.models import ComponentSpec, Position
from tidegate.manifest.reader import Node, Report, Scalar, Table
from tidegate.model.component import NO_IMAGE, ImageRecipe

KEYS = ("dockerfile", "base", "ready", "tool")
IMAGES_KEYS = ("base", "tool")
TOOLS = ("docker", "podman", "buildah")
DOCKERFILE = "Dockerfile"
WAYS = KEYS[:3]
_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
_PART = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_NAME = rf"(?P<name>({_HOST}/)?{_PART}(/{_PART})*)"
_REFERENCE = re.compile(rf"{_NAME}(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@(?P<digest>sha256:[0-9a-f]{{64}}))?")


def pinned(node: Node, key: str, report: Report) -> str | None:
    """`NAME@sha256:…`. A tag before the digest may be written, for people; it decides nothing and is left out."""
    written = text(node, key, report)
    if written is None:
        return None
    match = _REFERENCE.fullmatch(written) if len(written) <= 1000 else None
    if match is not None and match["digest"]:
        return f"{match['name']}@{match['digest']}"
    if match is None:
        message = f"{key!r} cannot be {describe(node)}, which is no name of an image"
        report.add(node, message, f"Write {key}: registry.acme.example/shop/app@sha256: and 64 hexadecimal digits.")
        return None
    message = f"{key!r} must be pinned by a digest, not {describe(node)}"
    hint = f"Write {match['name']}@sha256:…; `skopeo inspect docker://{written}` and `docker buildx imagetools inspect"
    report.add(node, message, f"{hint} {written}` print its digest.")
    return None


def read_image(fields: Fields, folder: str, positions: dict[str, Position], report: Report) -> ImageRecipe:
    """What a component says of its image; `NO_IMAGE` where it says nothing."""
    entry = fields.entry("image")
    if entry is None:
        return NO_IMAGE
    if isinstance(entry.value, Scalar):
        return ImageRecipe(ready=pinned(entry.value, "image", report) or "")
    if not isinstance(entry.value, Table):
        hint = "Write {dockerfile: Dockerfile}, {base: NAME@sha256:…} or NAME@sha256:…."
        report.add(entry.value, f"'image' cannot be {describe(entry.value)}", hint)
        return NO_IMAGE
    inner = Fields(entry.value, KEYS, "image", report)
    found = [key for key in WAYS if key in inner]
    if len(found) > 1:
        report.add(inner.position(found[1]), f"'image' has both {found[0]} and {found[1]}", "Keep one of them.")
    dockerfile, file = inner.text("dockerfile"), inner.entry("dockerfile")
    place = None
    if dockerfile is not None and file is not None and isinstance(file.value, Scalar):
        positions["image.dockerfile"] = (file.value.line, file.value.column)
        place = path(file.value, "dockerfile", folder, report)
    return ImageRecipe(
        ready=_pinned(inner, "ready", report), dockerfile=place or "", base=_pinned(inner, "base", report),
        tool=_tool(inner, report),
    )  # fmt: skip


def read_images(fields: Fields, report: Report) -> ImageRecipe | None:
    """What `tidegate.yaml` says of all images: a base, and the program that builds them. None if it is wrong."""
    before = len(report.problems)
    entry = fields.entry("images")
    if entry is None:
        return NO_IMAGE
    if not isinstance(entry.value, Table):
        list(fields.tables("images", "{base: NAME@sha256:…}"))
        return None
    inner = Fields(entry.value, IMAGES_KEYS, "images", report)
    found = ImageRecipe(base=_pinned(inner, "base", report), tool=_tool(inner, report))
    return found if len(report.problems) == before else None


def brings_its_command(fields: Fields) -> bool:
    """Whether the image is one that somebody else made, as far as can be told: it knows what to run."""
    entry = fields.entry("image")
    node = entry.value if entry else None
    return isinstance(node, Scalar) or (isinstance(node, Table) and "ready" in node.entries)


def with_recipe(spec: ComponentSpec, images: ImageRecipe | None, *, dockerfile: bool) -> ComponentSpec:
    """With the way its releases become images: what it says itself, else a Dockerfile beside it (`dockerfile`: there is
    one, and somewhere it matters), else the base of all."""
    own = spec.image
    if not (own.ready or own.dockerfile or own.base):
        if dockerfile:
            own = replace(own, dockerfile=beside(spec))
        elif images is not None and images.base:
            own = replace(own, base=images.base)
        else:
            return spec
    return replace(spec, image=replace(own, tool=own.tool or (images.tool if images is not None else "")))


def beside(spec: ComponentSpec) -> str:
    """Where the Dockerfile of a component lies if it says nothing, relative to the root."""
    folder = dirname(spec.manifest)
    return f"{folder}/{DOCKERFILE}" if folder else DOCKERFILE


def _pinned(fields: Fields, key: str, report: Report) -> str:
    entry = fields.entry(key)
    return (pinned(entry.value, key, report) or "") if entry else ""


def _tool(fields: Fields, report: Report) -> str:
    entry = fields.entry("tool")
    word = one_of(entry.value, "tool", TOOLS, report) if entry else None
    return word.text if word else ""
