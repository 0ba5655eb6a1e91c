"""The example's orders, on a real PostgreSQL that their environment starts itself: a service with migrations, a worker,
a task and a resource. One environment for all tests here; all but the last leave it working."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.e2e.projects import Shop, until
from tests.postgres import programs

EXAMPLE = Path(__file__).parents[2] / "examples" / "storefront"
LEFT_OUT = shutil.ignore_patterns(".venv", "__pycache__", ".pytest_cache", ".tidegate", "catalogue.sqlite")
ENVIRONMENT = "orders-dev"

pytestmark = [pytest.mark.gateway, pytest.mark.xdist_group("orders")]


@dataclass
class Orders:
    """The environment, and its users' way in."""

    shop: Shop

    def up(self, *, status: int = 0) -> str:
        """Bring the environment to what the checkout says; what was shown."""
        done = self.shop.run("up", ENVIRONMENT, status=status)
        return done.out + done.err

    def down(self, *arguments: str) -> str:
        """Take it down; what was shown. What comes up again has other addresses."""
        self.__dict__.pop("url", None)
        return self.shop.run("down", ENVIRONMENT, "--yes", *arguments).err

    def status(self) -> Any:
        """The environment, as `status --json` shows it."""
        return self.shop.json("status", ENVIRONMENT)["environments"][0]

    @cached_property
    def url(self) -> str:
        """Where users place orders and look at them."""
        return str(next(each["url"] for each in self.status()["components"] if each["component"] == "orders"))

    def database(self) -> Any:
        """The resource, as `status --json` shows it."""
        (found,) = self.status()["resources"]
        return found

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, in the database that the environment runs."""
        with psycopg.connect(self.database()["url"]) as connection:
            return connection.execute(statement.encode()).fetchall()

    def place(self, product: str) -> int:
        """The number of a new order."""
        answer = httpx.post(f"{self.url}/orders", json={"product": product}, trust_env=False)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"/orders/{answer.json()['id']}"
        return int(answer.json()["id"])

    def order(self, number: int) -> Any:
        """An order as users see it."""
        return self.ask(number).raise_for_status().json()

    def ask(self, number: int) -> httpx.Response:
        """The answer about one order."""
        return httpx.get(f"{self.url}/orders/{number}", trust_env=False)

    def fulfilled(self, number: int) -> Any:
        """The order, once it is fulfilled."""
        until(f"order {number} is fulfilled", lambda: self.order(number)["state"] == "fulfilled")
        return self.order(number)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text of the sources."""
        path = self.shop.root / "services" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def migration(self, name: str, do: str, undo: str) -> None:
        """One more pair of files."""
        folder = self.shop.root / "services" / "orders" / "migrations"
        (folder / f"{name}.sql").write_text(do)
        (folder / f"{name}.undo.sql").write_text(undo)

    @contextmanager
    def visited(self) -> Iterator[Visitor]:
        """While somebody places orders and reads them, without a pause."""
        visitor = Visitor(self.url)
        thread = threading.Thread(target=visitor.visit)
        thread.start()
        try:
            yield visitor
        finally:
            visitor.done.set()
            thread.join()


@dataclass
class Visitor:
    """Comes until `done`. `placed` are the orders that were taken, `releases` who answered, in their order."""

    url: str
    done: threading.Event = field(default_factory=threading.Event)
    placed: list[int] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def comes(self, more: int) -> None:
        """Wait until so many more orders were placed and read."""
        enough = len(self.releases) + 2 * more
        until(f"{more} more visits", lambda: len(self.releases) >= enough)

    def visit(self) -> None:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=20) as client:
            while not self.done.wait(0.02):
                try:
                    placed = client.post("/orders", json={"product": "rope"}).raise_for_status()
                    self.placed.append(placed.json()["id"])
                    read = client.get(f"/orders/{self.placed[-1]}").raise_for_status()
                    self.releases += [placed.headers["x-release"], read.headers["x-release"]]
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))


@pytest.fixture(scope="module")
def orders() -> Iterator[Orders]:
    """The environment is up."""
    if programs() is None:
        missing = "PostgreSQL is not installed: neither PATH nor /usr/lib/postgresql has initdb and pg_ctl"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    places = {"TIDEGATE_STATE_DIR": str(folder / "state"), "TIDEGATE_RUNTIME_DIR": str(folder / "run")}
    shop = Shop(folder / "shop", {**os.environ, **places, "COLUMNS": "120", "NO_COLOR": "1"})
    monkeypatch = pytest.MonkeyPatch()
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(EXAMPLE, shop.root, ignore=LEFT_OUT)
    manifest = shop.root / "tidegate.yaml"
    manifest.write_text(manifest.read_text().replace("orders-dev:  {", "orders-dev:  {observe: 0s, "))
    made = Orders(shop)
    try:
        made.up()
        yield made
    finally:
        made.down()
        monkeypatch.undo()
        left = shop.processes()
        for process in left:
            process.kill()
        shutil.rmtree(folder)
        assert not left


def test_an_order_that_is_placed_is_fulfilled(orders: Orders) -> None:
    """By the worker; `status` shows it, the service, the task, and the database that runs for them."""
    done = orders.fulfilled(orders.place("compass"))
    assert (done["product"], done["fulfilled_by"].startswith("orders-worker-r")) == ("compass", True)
    status = orders.status()
    states = {each["component"]: each["state"] for each in status["components"]}
    assert states == {"orders": "running", "orders-worker": "running", "seed": "ready"}
    (database,) = status["resources"]
    assert (database["name"], database["state"]) == ("orders-db", "healthy")
    assert database["url"].startswith("postgresql://shop@127.0.0.1:")


def test_a_task_shows_what_it_prints_and_fails_when_it_does(orders: Orders) -> None:
    """The output is on standard output alone; the exit status of the task is told."""
    orders.place("rope")
    done = orders.shop.run("run", ENVIRONMENT, "seed")
    assert done.out.startswith("nothing to do: ")
    assert "seed ended with 0" in done.err
    orders.edit("seed/seed.py", "    url = f", "    sys.exit(3)\n    url = f")
    orders.up()
    assert "seed ended with 3" in orders.shop.run("run", ENVIRONMENT, "seed", status=1).err


def test_a_new_worker_takes_over_and_there_are_never_two(orders: Orders) -> None:
    """Orders placed meanwhile are fulfilled by the new one; users notice nothing. The plan says who is interrupted, and
    from the second time on for how long."""
    agent = psutil.Process(psutil.Process(orders.database()["pid"]).ppid())
    orders.edit("orders-worker/worker.py", "is on its way", "is on its way to you")
    most = 0
    with orders.visited() as visitor:
        visitor.comes(5)
        up = orders.shop.start("up", ENVIRONMENT)
        while up.poll() is None:
            most = max(most, sum("worker.py" in words(child) for child in agent.children()))
            with suppress(subprocess.TimeoutExpired):
                up.wait(0.02)
        visitor.comes(5)
        shown, _ = up.communicate()
    assert up.returncode == 0, shown
    assert "orders-worker is interrupted (never measured)" in shown
    assert (most, visitor.failed) == (1, [])
    orders.fulfilled(visitor.placed[-1])
    by = [row[0] for row in orders.sql("SELECT fulfilled_by FROM orders WHERE product = 'rope' ORDER BY fulfilled_at")]
    old, new = min(by, key=by.index), by[-1]
    assert old != new
    assert by == [old] * by.count(old) + [new] * by.count(new), "one after the other, each order by one of them"
    orders.edit("orders-worker/worker.py", "on its way to you", "on its way")
    (change,) = orders.shop.json("plan", ENVIRONMENT)["plan"]["changes"]
    (interruption,) = change["interruptions"]
    assert interruption["component"] == "orders-worker"
    assert interruption["seconds"] > 0


def words(process: psutil.Process) -> list[str]:
    """Its command line; nothing if it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_migration_runs_before_the_release_that_needs_it(orders: Orders) -> None:
    """The new column is there before new instances read it, the old ones go on beside it, and no request fails."""
    orders.migration(
        "0002_notes", "ALTER TABLE orders ADD COLUMN note text DEFAULT 'thanks'", "ALTER TABLE orders DROP COLUMN note"
    )
    orders.edit("orders/orders/store.py", 'fulfilled_by"', 'fulfilled_by, note"')
    orders.edit("orders/orders/store.py", "fulfilled_by: str | None", "fulfilled_by: str | None\n    note: str | None")
    with orders.visited() as visitor:
        visitor.comes(5)
        shown = orders.up()
        visitor.comes(5)
    assert visitor.failed == []
    assert "running its migration before the new start" in shown
    old, new = visitor.releases[0], visitor.releases[-1]
    assert old != new
    assert visitor.releases == [old] * visitor.releases.count(old) + [new] * visitor.releases.count(new)
    assert orders.order(visitor.placed[0])["note"] == "thanks"


def test_a_migration_that_fails_is_taken_back_with_its_change(orders: Orders) -> None:
    """What it had done is undone by `undo:`, users get the answers they got before, and the screen says why."""
    done = orders.sql("SELECT number FROM migrations ORDER BY number")
    orders.migration("0008_gifts", "ALTER TABLE orders ADD COLUMN gift boolean", "ALTER TABLE orders DROP COLUMN gift")
    orders.migration("0009_typo", "ALTER TABLE order ADD COLUMN typo text", "SELECT 1")
    with orders.visited() as visitor:
        shown = orders.up(status=1)
        visitor.comes(5)
    assert visitor.failed == []
    assert len(set(visitor.releases)) == 1
    assert "orders failed; it was put back" in shown
    assert "cannot migrate: syntax error" in shown
    assert orders.sql("SELECT number FROM migrations ORDER BY number") == done
    columns = orders.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'orders'")
    assert ("gift",) not in columns
    for file in (orders.shop.root / "services" / "orders" / "migrations").glob("000[89]*"):
        file.unlink()


def test_a_database_that_dies_is_started_again(orders: Orders) -> None:
    """By the agent, where it was and with what it held; service and worker recover by themselves."""
    before = orders.database()
    number = orders.place("lantern")
    os.kill(before["pid"], signal.SIGKILL)
    until("orders are shown again", lambda: orders.ask(number).status_code == 200)
    after = orders.database()
    assert after["pid"] != before["pid"]
    assert after["url"] == before["url"]
    assert after["restarts"] > before["restarts"]
    assert orders.order(number)["product"] == "lantern"
    orders.fulfilled(orders.place("compass"))


def test_orders_outlive_the_environment_until_they_are_destroyed(orders: Orders) -> None:
    """`down` keeps them, `up` brings them back, `down --data` destroys them, and what is known of their migrations."""
    number = orders.place("tide-chart")
    assert "Data stay: orders-db" in orders.down()
    orders.up()
    assert orders.fulfilled(number)["product"] == "tide-chart"
    orders.down("--data")
    assert not (orders.shop.root / ".tidegate" / "data" / ENVIRONMENT).exists()
    assert orders.status()["runs"] == []
