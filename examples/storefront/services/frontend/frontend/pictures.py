"""Drawings of the products, 96 × 96, in lines of the text's colour."""

from __future__ import annotations

from frontend.markup import Html

DRAWINGS = {
    "compass": '<circle cx="48" cy="52" r="28"/><circle cx="48" cy="18" r="6"/>'
    '<path class="fill" d="M58 36 52 57 38 68 44 47z"/><path d="M48 28v4M48 72v4M24 52h4M68 52h4"/>',
    "lantern": '<path d="M36 30h24l6 44H30zM30 74h36v8H30zM40 30l3-8h10l3 8"/><path d="M36 22a12 12 0 0 1 24 0"/>'
    '<path class="fill" d="M48 42c8 10 8 14 8 17a8 8 0 0 1-16 0c0-4 3-8 8-17z"/>',
    "mug": '<path d="M26 30h36v36a10 10 0 0 1-10 10H36a10 10 0 0 1-10-10z"/><path d="M62 38h6a9 9 0 0 1 0 22h-6"/>'
    '<path class="fill" d="M26 46h36v8H26z"/><path d="M36 22c-4-5 4-7 0-12M50 22c-4-5 4-7 0-12"/>',
    "rope": '<ellipse cx="48" cy="68" rx="28" ry="9"/><path d="M20 68V58M76 68V58"/>'
    '<ellipse cx="48" cy="58" rx="28" ry="9"/><path d="M20 58V48M76 58V48"/>'
    '<ellipse class="fill" cx="48" cy="48" rx="28" ry="9"/><path d="M70 43C80 34 74 16 60 20s-6 20 4 16"/>',
    "map": '<path d="M20 28l18-8 20 8 18-8v48l-18 8-20-8-18 8zM38 20v48M58 28v48"/>'
    '<path class="fill" d="M38 44c7-7 13 7 20 0v12c-7 7-13-7-20 0z"/>',
    "bag": '<path d="M30 34h36l4 36a10 10 0 0 1-10 10H36a10 10 0 0 1-10-10z"/><path class="fill" d="M28 22h40v12H28z"/>'
    '<path d="M40 22v-6h16v6M38 48h20"/>',
    "whistle": '<circle cx="38" cy="56" r="20"/><path d="M38 36h40v14H57"/><circle class="fill" cx="38" cy="56" r="8"/>'
    '<path d="M50 28l-4-10M60 28l2-10M70 28l8-8"/>',
    "salt": '<path d="M22 76c-3-22 2-36 12-36s15 14 12 36z"/><path class="fill" d="M50 76c-3-22 2-36 12-36s15 14 12 36z"/>'
    '<path d="M28 40a6 7 0 0 1 12 0M56 40a6 7 0 0 1 12 0M34 26v4M62 26v4"/>',
    "blanket": '<path d="M18 40l30-16 30 16-30 16z"/><path d="M18 52l30 16 30-16M18 40v24l30 16 30-16V40"/>'
    '<path class="fill" d="M33 32l30 16 8-4-30-16z"/>',
}
PARCEL = '<path d="M22 34l26-12 26 12v30L48 76 22 64zM22 34l26 12 26-12M48 46v30"/>'


def picture(kind: str) -> Html:
    """A drawing of this kind of product; a parcel for one that is not known."""
    return Html(f'<svg class="picture" viewBox="0 0 96 96" aria-hidden="true">{DRAWINGS.get(kind, PARCEL)}</svg>')
