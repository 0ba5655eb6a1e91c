"""The gateway itself: one Envoy process, and the table of addresses that it works by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import anyio

from tidegate.drivers.local.gateway import process, rendering
from tidegate.drivers.local.gateway.admin import Admin
from tidegate.drivers.local.gateway.bootstrap import bootstrap, static
from tidegate.drivers.local.gateway.discovery import Discovery, Kind
from tidegate.drivers.local.gateway.process import EnvoyProcess
from tidegate.drivers.local.gateway.table import EXAMPLE, Table, Traffic, check, shapes
from tidegate.errors import GatewayRefused, TargetError, TargetUnreachable

_START_PATIENCE = 20.0
_ADOPTION_PATIENCE = 2.0
# The shortest limit of the systems in question is 104 bytes with the closing zero (macOS; Linux has 108).
_LONGEST_SOCKET = 103


class Gateway:
    """One Envoy for one project; it survives this object, and the next one for the same folders adopts it.

    `folder` is for its files, `sockets` (a short path: 103 bytes with the name of a socket) for two unix sockets of
    mode 0600, `access_logs` says where the access log of an environment is written (JSON, one line per request).
    """

    def __init__(self, folder: Path, sockets: Path, access_logs: Callable[[str], Path]) -> None:
        self._folder = folder.absolute()
        self._sockets = (sockets / "gateway-admin.sock", sockets / "gateway-probe.sock")
        self._access_logs = access_logs
        self._log = self._folder / "envoy.log"
        self._process_file = self._folder / "process.json"
        self._process: EnvoyProcess | None = None
        self._admin = Admin(*self._sockets)
        self._discovery = Discovery(self._folder, self._admin, self._log)
        self._table: Table | None = None  # the last one that was acknowledged
        self._settled = False  # whether Envoy works by it, as far as we know
        self._checked: frozenset[tuple[str, bool]] = frozenset()  # shapes that another Envoy has read
        self._lock = anyio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the Envoy started or adopted last; None before that and after `stop`."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> Path:
        """Where Envoy itself writes warnings and errors."""
        return self._log

    async def start(self) -> None:
        """Adopt the Envoy of a former gateway object if it still runs, else start one; returns when it is ready.

        One that runs and does not answer is ended and replaced. A new one begins with the table that was last in
        force here, as far as its ports are still free; `apply` tells. Raises `TargetError` when it cannot start.
        """
        async with self._lock:
            await self._start()

    async def revive(self) -> bool:
        """Start Envoy again, with the last table, if it died; says whether it had.

        Raises `TargetError` when it cannot start, `GatewayRefused` when it cannot have all of the last table any
        more, such as a port that somebody else took meanwhile; the rest works, and `apply` tries again.
        """
        async with self._lock:
            if await self.alive():
                return False
            await self._start()
            if self._table is not None:
                await self._publish(self._table)
                self._settled = True
            return True

    async def stop(self) -> None:
        """End Envoy and forget its table. Harmless when it does not run."""
        async with self._lock:
            running = self._process or process.recall(self._process_file)
            if running is not None:
                await running.end()
            self._process, self._table, self._settled = None, None, False
            self._discovery.clear()
            for file in (self._process_file, *self._sockets):
                file.unlink(missing_ok=True)

    async def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.alive()

    async def apply(self, table: Table) -> None:
        """Make this the table; returns when Envoy has taken all of it and no request meets the former one any more.

        Listeners that stay keep their connections, and requests in flight go on. All addresses move in one instant.
        Nothing happens when the table is the one in force.

        Raises `GatewayRefused` with the reason (a port in use, an impossible name or address), and the former table
        stays in force; `TargetUnreachable` when Envoy does not run.
        """
        check(table)
        async with self._lock:
            if not await self.alive():
                raise _not_running()
            if self._settled and table == self._table:
                return
            # Envoy keeps a log open for ever; one that was deleted with its environment has to be opened anew.
            # Asked now, because the check creates the files it finds missing.
            logs = {self._access_logs(listener.environment) for listener in table.listeners}
            lost = not all(log.exists() for log in logs)
            await self._validate(table)
            # A caller who gives up in the middle must not leave half a table; this is a matter of milliseconds.
            with anyio.CancelScope(shield=True):
                await self._replace(table)
                if lost:
                    await self._admin.reopen_logs()

    async def traffic(self, listeners: Iterable[str]) -> Mapping[str, Traffic]:
        """What went through these listeners since Envoy started; zeros for one it does not have.

        Raises `TargetUnreachable`.
        """
        counts = await self._admin.statistics(r"^http\..*\.downstream_rq_(completed|5xx)$")
        return {
            name: Traffic(
                answers=int(counts.get(f"http.{name}.downstream_rq_completed", 0)),
                errors=int(counts.get(f"http.{name}.downstream_rq_5xx", 0)),
            )
            for name in listeners
        }

    async def active(self, upstream: str) -> int:
        """Requests and WebSockets that this group has not finished yet, and those waiting for a connection to it.

        Raises `TargetUnreachable`.
        """
        counts = await self._admin.statistics(r"^cluster\..*\.upstream_rq_(pending_)?active$")
        return sum(int(counts.get(f"cluster.{upstream}.upstream_rq_{kind}active", 0)) for kind in ("", "pending_"))

    async def reopen_logs(self) -> None:
        """To be called after an access log was renamed: Envoy goes on in a new file. Raises `TargetUnreachable`."""
        await self._admin.reopen_logs()

    async def _start(self) -> None:
        self._settled = False
        self._check_sockets()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._discovery.prepare(rendering.routes(Table())[rendering.ROUTE_TABLE])
        running = process.recall(self._process_file)
        if running is not None and not await self._becomes_ready(running, _ADOPTION_PATIENCE):
            # It is ours and cannot be told anything any more, for instance because its socket was deleted.
            await running.end()
            running = None
        if running is None:
            running = self._spawn()
            # While it starts; another start may find another Envoy, so nothing is known of before.
            self._checked = frozenset()
            await self._validate(EXAMPLE)
            if not await self._becomes_ready(running, _START_PATIENCE):
                what = f"it was not ready within {_START_PATIENCE:.0f} s" if running.alive() else "it ended at once"
                raise self._cannot_start(what)
        self._process = running
        await self._discovery.look()

    async def _becomes_ready(self, running: EnvoyProcess, patience: float) -> bool:
        with anyio.move_on_after(patience):
            while running.alive():
                if await self._admin.ready():
                    return True
                await anyio.sleep(0.01)
        return False

    def _spawn(self) -> EnvoyProcess:
        for socket in self._sockets:
            socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            socket.unlink(missing_ok=True)
        configuration = self._folder / "bootstrap.json"
        admin, probe = self._sockets
        configuration.write_text(
            json.dumps(
                bootstrap(
                    admin=admin,
                    probe=probe,
                    cluster_file=self._discovery.file(Kind.CLUSTERS),
                    listener_file=self._discovery.file(Kind.LISTENERS),
                    route_file=self._discovery.file(Kind.ROUTES),
                )
            )
        )
        try:
            running = process.spawn(process.serve_command(configuration), self._log)
        except (FileNotFoundError, PermissionError) as error:
            raise TargetError(
                "cannot start the gateway",
                f"{error.filename}: {error.strerror}",
                hint="Envoy comes with Tidegate: install that again.",
            ) from error
        process.remember(running, self._process_file)
        return running

    def _check_sockets(self) -> None:
        for socket in self._sockets:
            length = len(bytes(socket.absolute()))
            if length > _LONGEST_SOCKET:
                raise TargetError(
                    "cannot start the gateway",
                    f"{socket} has {length} bytes, and the name of a unix socket may have {_LONGEST_SOCKET}",
                    hint="choose a shorter folder for sockets, for instance with XDG_RUNTIME_DIR",
                )

    def _cannot_start(self, what: str) -> TargetError:
        lines = self._log.read_text(errors="replace").splitlines()[-5:] if self._log.exists() else []
        return TargetError(
            "cannot start the gateway", "\n".join([what, *lines]), hint=f"all of its log is in {self._log}"
        )

    async def _validate(self, table: Table) -> None:
        """Let another Envoy read a table, before the running one gets anything that looks like it.

        Every shape is checked once per start; what differs between two of a shape are names, addresses and ports,
        and of those the running Envoy itself is asked, which keeps what it has if it refuses.
        """
        new = shapes(table) - self._checked
        if not new:
            return
        routes = rendering.routes(table)[rendering.ROUTE_TABLE]
        configuration = self._folder / "check.json"
        listeners = rendering.listeners(table, self._discovery.file(Kind.ROUTES), lambda _: Path("/dev/null"))
        configuration.write_text(json.dumps(static(rendering.clusters(table).values(), listeners.values(), routes)))
        result = await anyio.run_process(process.check_command(configuration), check=False)
        if result.returncode != 0:
            raise GatewayRefused("cannot use this table of addresses", result.stderr.decode(errors="replace").strip())
        self._checked |= new

    def _listeners(self, table: Table) -> dict[str, rendering.Resource]:
        route_file = self._discovery.file(Kind.ROUTES)
        for environment in {listener.environment for listener in table.listeners}:
            self._access_logs(environment).parent.mkdir(parents=True, exist_ok=True)
        return rendering.listeners(table, route_file, self._access_logs)

    async def _replace(self, table: Table) -> None:
        former = {kind: self._discovery.current(kind) for kind in Kind}
        settled, self._settled = self._settled, False
        try:
            await self._publish(table)
        except GatewayRefused as refused:
            await self._restore(former, refused)
            self._settled = settled
            raise
        self._table, self._settled = table, True

    async def _publish(self, table: Table) -> None:
        """What is new exists before anything leads to it; what is old goes when nothing leads to it any more.

        The routes are published always. They are the moment of the switch, and the proof that the one worker has
        done everything before: an instance that left its group gets no new request from then on.
        """
        clusters, listeners = rendering.clusters(table), self._listeners(table)
        former_clusters = self._discovery.current(Kind.CLUSTERS)
        former_listeners = self._discovery.current(Kind.LISTENERS)
        await self._change(Kind.CLUSTERS, former_clusters | clusters)
        stay = _without_lost_ports(former_listeners, listeners)
        if stay != former_listeners:
            await self._change(Kind.LISTENERS, stay)
        await self._change(Kind.LISTENERS, stay | listeners)
        await self._discovery.publish(Kind.ROUTES, rendering.routes(table))
        await self._change(Kind.LISTENERS, listeners)
        await self._change(Kind.CLUSTERS, clusters)

    async def _change(self, kind: Kind, resources: dict[str, rendering.Resource]) -> None:
        if self._discovery.differs(kind, resources):
            await self._discovery.publish(kind, resources)

    async def _restore(self, former: Mapping[Kind, dict[str, rendering.Resource]], refused: GatewayRefused) -> None:
        try:
            for kind in (Kind.ROUTES, Kind.LISTENERS, Kind.CLUSTERS):
                await self._change(kind, former[kind])
        except (GatewayRefused, TargetUnreachable) as error:
            raise GatewayRefused(
                refused.summary,
                f"{refused.detail}\nand the former table could not be put back whole: {error.detail}",
                hint="apply a table again",
            ) from error


def _not_running() -> TargetUnreachable:
    return TargetUnreachable("cannot change the gateway", "it does not run", hint="start it again")


def _without_lost_ports(
    former: Mapping[str, rendering.Resource], wanted: Mapping[str, rendering.Resource]
) -> dict[str, rendering.Resource]:
    """The former listeners but those whose port goes to another one: Envoy has to let go of it first."""
    owners = {rendering.port_of(listener): name for name, listener in wanted.items()}
    return {
        name: listener for name, listener in former.items() if owners.get(rendering.port_of(listener), name) == name
    }
