"""The example's orders in a cluster: a service with migrations, a worker, a task, and a PostgreSQL that the environment
runs itself in an image, on a volume of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.kubernetes.e2e.shop import Shop, until
from tests.kubernetes.e2e.visitors import visitors

pytestmark = pytest.mark.xdist_group("orders on a cluster")
ENVIRONMENT = "orders-dev"
MIGRATIONS = "services/orders/migrations"
STORE = "services/orders/orders/store.py"


@pytest.fixture(scope="module")
def shop(storefront: Shop, base_with_postgresql: str) -> Iterator[Shop]:
    """The environment is up."""
    cluster = storefront.cluster
    target = f"{{kind: kubernetes, context: {cluster.context}, proxy: '{cluster.images['gateway']}'}}"
    for old, new in (
        ("orders-dev:  {", f"orders-dev:  {{observe: 0s, target: {target}, "),
        (
            "url: postgresql://shop@127.0.0.1:$PORT",
            f"image: '{base_with_postgresql}'\n      url: postgresql://shop@$HOST:$PORT",
        ),
        ('-h 127.0.0.1 -p "$PORT"', '-h "$HOST" -p "$PORT"'),
        (
            '          mv "$DATA/new"',
            '          echo "host all all all trust" >> "$DATA/new/pg_hba.conf"\n          mv "$DATA/new"',
        ),
    ):
        storefront.edit("tidegate.yaml", old, new)
    storefront.edit("services/orders/service.yaml", "health: /healthz", "health: /healthz\ndrain: 2s")
    storefront.commit()
    storefront.run("up", ENVIRONMENT)
    yield storefront
    namespace = storefront.namespace(ENVIRONMENT)
    storefront.kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", namespace)


def place(url: str, product: str) -> int:
    """The number of a new order."""
    answer = httpx.post(f"{url}/orders", json={"product": product}, trust_env=False, timeout=10)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def order(url: str, number: int) -> dict[str, object]:
    """As users see it."""
    return dict(httpx.get(f"{url}/orders/{number}", trust_env=False, timeout=10).raise_for_status().json())


def fulfilled(url: str, number: int) -> dict[str, object]:
    """The order, once the worker has seen to it."""
    until(f"order {number} is fulfilled", lambda: order(url, number)["state"] == "fulfilled", within=30)
    return order(url, number)


def migration(shop: Shop, name: str, do: str, undo: str) -> None:
    """One more pair of files."""
    (shop.root / MIGRATIONS / f"{name}.sql").write_text(do)
    (shop.root / MIGRATIONS / f"{name}.undo.sql").write_text(undo)


def columns(shop: Shop) -> str:
    """Of the table of orders, as its database says."""
    pod = shop.kubectl(
        "-n", shop.namespace(ENVIRONMENT), "get", "pods", "-o", "name", "-l", "tidegate.dev/role=resource"
    ).strip()
    asked = "SELECT string_agg(column_name, ' ') FROM information_schema.columns WHERE table_name = 'orders'"
    program = f'$(ls /usr/lib/postgresql/*/bin/psql) -At -h 127.0.0.1 -p "$PORT" -U shop postgres -c "{asked}"'
    return shop.kubectl("-n", shop.namespace(ENVIRONMENT), "exec", pod, "--", "sh", "-c", program)


def test_an_order_that_is_placed_is_fulfilled_by_the_worker(shop: Shop) -> None:
    """Through a database that the environment runs; a task sees the same; `logs` shows what all of them print."""
    url = shop.url("orders", ENVIRONMENT)
    done = fulfilled(url, place(url, "compass"))
    assert str(done["fulfilled_by"]).startswith("orders-worker-r")
    (database,) = shop.environment(ENVIRONMENT)["resources"]
    assert (database["name"], database["state"]) == ("orders-db", "healthy")
    assert shop.out("run", ENVIRONMENT, "seed").startswith("nothing to do: ")
    assert "is on its way" in shop.out("logs", "-e", ENVIRONMENT, "orders-worker")
    assert "database system is ready" in shop.run("logs", "-e", ENVIRONMENT, "orders-db")


def test_migrations_run_before_what_needs_them_and_one_that_fails_is_taken_back(shop: Shop) -> None:
    """Users notice neither; the screen says what was wrong, and data are as before."""
    url = shop.url("orders", ENVIRONMENT)
    number = place(url, "rope")
    migration(
        shop,
        "0002_notes",
        "ALTER TABLE orders ADD COLUMN note text DEFAULT 'thanks'",
        "ALTER TABLE orders DROP COLUMN note",
    )
    shop.commit(
        (STORE, 'fulfilled_by"', 'fulfilled_by, note"'),
        (STORE, "fulfilled_by: str | None", "fulfilled_by: str | None\n    note: str | None"),
    )
    with visitors(f"{url}/orders") as crowd:
        crowd.come(10)
        assert "running its migration before the new start" in shop.run("up", ENVIRONMENT)
        assert order(url, number)["note"] == "thanks"

        migration(
            shop, "0008_gifts", "ALTER TABLE orders ADD COLUMN gift boolean", "ALTER TABLE orders DROP COLUMN gift"
        )
        migration(shop, "0009_typo", "ALTER TABLE order ADD COLUMN typo text", "SELECT 1")
        with shop.tried():
            shown = shop.run("up", ENVIRONMENT, status=1)
        crowd.come(10)
    assert crowd.failed == []
    assert len(set(crowd.answers)) == 2
    assert "orders failed; it was put back" in shown
    assert "cannot migrate: syntax error" in shown
    assert "note" in columns(shop)
    assert "gift" not in columns(shop)
    for kind, arguments in re.findall(r"tidegate (logs|plan) (.*)", shown):
        told = shop.run(kind, *arguments.split())
        assert kind != "logs" or "syntax error" in told


def test_orders_outlive_their_environment_until_they_are_destroyed(shop: Shop) -> None:
    """`down` keeps the volume and so the namespace; `down --data` leaves nothing."""
    number = place(shop.url("orders", ENVIRONMENT), "tide-chart")
    assert "Data stay: orders-db" in shop.run("down", ENVIRONMENT, "--yes")
    shop.run("up", ENVIRONMENT)
    assert fulfilled(shop.url("orders", ENVIRONMENT), number)["product"] == "tide-chart"
    shop.run("down", ENVIRONMENT, "--data", "--yes")
    namespaces = ("get", "namespaces", "-o", "name")
    gone = f"namespace/{shop.namespace(ENVIRONMENT)}"
    until("the namespace is gone", lambda: gone not in shop.kubectl(*namespaces).split())
