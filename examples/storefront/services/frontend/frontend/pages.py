"""The pages, as functions from what is known to HTML."""

from __future__ import annotations

from urllib.parse import quote

from frontend.backend import Listing, Product
from frontend.markup import Html, html, joined
from frontend.pictures import picture
from frontend.settings import Identity, Settings

LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<div class="width bar">
<div><a class="banner" href="/">{banner}</a><p>{note}</p></div>
<form action="/" role="search">
<input type="search" name="q" value="{words}" maxlength="100" placeholder="Search the shop" aria-label="Search the shop">
<button>Search</button>
</form>
</div>
</header>
<main class="width">{main}</main>
<footer><div class="width">
<p>{notice}</p>
<dl>
<div><dt>environment</dt><dd>{environment}</dd></div>
<div><dt>frontend</dt><dd>{frontend}</dd></div>
<div><dt>backend</dt><dd>{backend}</dd></div>
<div><dt>instance</dt><dd>{instance}</dd></div>
</dl>
</div></footer>
</body>
</html>
"""

CARD = """<li><a class="card" href="/product/{path}">{picture}
<h2>{name}</h2><p>{description}</p><strong>{price}</strong></a></li>
"""

PRODUCT = """<p><a href="/">← All products</a></p>
<article class="product">{picture}
<div><h1>{name}</h1><p class="price">{price}</p><p>{description}</p><p class="quiet">Article {id}</p></div>
</article>
"""

MESSAGE = """<section class="message"><p class="status">{status}</p><h1>{title}</h1><p>{text}</p>
<p><a href="{again}">{label}</a></p></section>
"""


class Pages:
    """All pages of one instance in one environment."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity

    def listing(self, listing: Listing, words: str) -> Html:
        """All products, or those that match."""
        count = len(listing.products)
        if not words:
            heading = html("<h1>All products</h1>")
        elif count:
            heading = html(
                '<h1>{count} for “{words}”</h1><p><a href="/">← All products</a></p>',
                count="1 product" if count == 1 else f"{count} products",
                words=words,
            )
        else:
            heading = html('<h1>Nothing for “{words}”</h1><p><a href="/">← All products</a></p>', words=words)
        cards = joined(_card(product) for product in listing.products)
        return self._page(
            f"{words} – search" if words else "",
            html('{heading}<ul class="grid">{cards}</ul>', heading=heading, cards=cards) if count else heading,
            listing,
            words=words,
        )

    def product(self, listing: Listing) -> Html:
        """The page of the one product of a listing."""
        product = listing.products[0]
        main = html(
            PRODUCT,
            picture=picture(product.kind),
            name=product.name,
            price=price(product.price_cents),
            description=product.description,
            id=product.id,
        )
        return self._page(product.name, main, listing)

    def message(self, status: int, title: str, text: str, *, again: str = "/", label: str = "To the shop") -> Html:
        """A page that says what went wrong; `again` is where its link leads."""
        main = html(MESSAGE, status=str(status), title=title, text=text, again=again, label=label)
        return self._page(title, main, None)

    def _page(self, title: str, main: Html, listing: Listing | None, *, words: str = "") -> Html:
        return html(
            LAYOUT,
            title=f"{title} – {self._settings.banner}" if title else self._settings.banner,
            banner=self._settings.banner,
            note=self._settings.note,
            words=words,
            main=main,
            notice=listing.notice if listing else "",
            environment=self._identity.environment,
            frontend=short(self._identity.release),
            backend=short(listing.release) if listing else "no answer",
            instance=self._identity.instance,
        )


def price(cents: int) -> str:
    """`€ 49.00`."""
    return f"€ {cents // 100}.{cents % 100:02d}"


def short(release: str) -> str:
    """The first characters of a release's name, for people."""
    return release.removeprefix("sha256:")[:10]


def _card(product: Product) -> Html:
    return html(
        CARD,
        path=quote(product.id, safe=""),
        picture=picture(product.kind),
        name=product.name,
        description=product.description,
        price=price(product.price_cents),
    )
