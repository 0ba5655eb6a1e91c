"""Tables that are taken, tables that are refused, and a gateway that comes and goes. With the real Envoy."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.gateway.conftest import Place
from tests.gateway.worlds import entry, eventually, free_port, instance, report, upstream
from tidegate.drivers.local.gateway import Gateway, Listener, Role, Table, Upstream
from tidegate.drivers.local.gateway.discovery import Kind
from tidegate.errors import GatewayRefused, TargetError, TargetUnreachable

pytestmark = [pytest.mark.anyio, pytest.mark.gateway]


async def _get(port: int) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(f"http://127.0.0.1:{port}/")


async def test_a_table_is_in_force_when_apply_returns(gateway: Gateway) -> None:
    """No waiting and no stale answer after it: 40 moves there and back, each asked at once."""
    async with instance("one") as one, instance("two") as two:
        first, second = upstream("a", 1, one.port), upstream("a", 2, two.port)
        port = free_port()
        durations = []
        async with httpx.AsyncClient(trust_env=False) as client:
            for turn in range(40):
                to, text = ((first, "one"), (second, "two"))[turn % 2]
                began = time.perf_counter()
                await gateway.apply(Table((first, second), (entry("a", port, to),)))
                durations.append(time.perf_counter() - began)
                assert (await client.get(f"http://127.0.0.1:{port}/")).text == text
        durations.sort()
        report(
            f"move acknowledged: median {durations[20] * 1000:.1f} ms, longest but one {durations[-2] * 1000:.1f} ms"
        )


async def test_the_same_table_again_costs_nothing(gateway: Gateway, place: Place) -> None:
    """Nothing is written, so nothing can go wrong."""
    table = Table((), (entry("a", free_port(), None),))
    await gateway.apply(table)
    files = sorted((place.folder / "gateway" / "live").iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    await gateway.apply(table)
    assert [file.stat().st_mtime_ns for file in files] == before


async def test_an_address_that_leads_nowhere_says_so(gateway: Gateway) -> None:
    """503 and a sentence, instead of a refused connection."""
    port = free_port()
    await gateway.apply(Table((), (entry("shop", port, None),)))
    answer = await _get(port)
    assert (answer.status_code, answer.text) == (
        503,
        "dev/entry/shop leads nowhere: no instance group is behind it\n",
    )


async def test_a_port_in_use_is_refused_and_the_former_table_stays(gateway: Gateway) -> None:
    """The reason names address and port; neither the move nor the other new address of that table happened."""
    port, other = free_port(), free_port()
    async with instance("one") as one, instance("two") as two:
        first, second = upstream("a", 1, one.port), upstream("a", 2, two.port)
        former = Table((first,), (entry("a", port, first),))
        await gateway.apply(former)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            wrong = Table(
                (first, second),
                (entry("a", port, second), entry("b", number, second), entry("c", other, second)),
            )
            with pytest.raises(GatewayRefused) as refused:
                await gateway.apply(wrong)
            assert f"127.0.0.1:{number}" in refused.value.detail
            assert "Address already in use" in refused.value.detail
        assert (await _get(port)).text == "one"
        with pytest.raises(httpx.ConnectError):
            await _get(other)
        await gateway.apply(wrong)  # the port is free now
        assert [(await _get(number)).text for number in (port, number, other)] == ["two"] * 3


async def test_an_address_that_is_none_is_refused_before_the_gateway_reads_it(gateway: Gateway) -> None:
    """Nothing is sent at all."""
    wrong = Upstream("dev/a-r1", "dev", "a", "a-r1", "", (("not-an-address", 80),))
    with pytest.raises(GatewayRefused, match="cannot use this table") as refused:
        await gateway.apply(Table((wrong,), ()))
    assert "not-an-address is no address" in refused.value.detail
    assert "rejected" not in gateway.log.read_text()


async def test_an_unknown_field_is_rejected_and_the_former_table_stays(gateway: Gateway) -> None:
    """A gateway of another version says what it does not understand, instead of doing half of it."""
    port = free_port()
    async with instance("one") as one:
        group = upstream("a", 1, one.port)
        await gateway.apply(Table((group,), (entry("a", port, group),)))
        discovery = gateway._discovery
        cluster = discovery.current(Kind.CLUSTERS)[group.name]
        with pytest.raises(GatewayRefused) as refused:
            await discovery.publish(Kind.CLUSTERS, {group.name: {**cluster, "surprise": True}})
        assert "surprise" in refused.value.detail
        assert (await _get(port)).text == "one"
        await gateway.apply(Table((group,), (entry("a", port, None),)))
        assert (await _get(port)).status_code == 503


async def test_a_port_can_pass_from_one_address_to_another(gateway: Gateway) -> None:
    """An address that went gives its port back at once."""
    port = free_port()
    for component in ("a", "b", "a"):
        await gateway.apply(Table((), (entry(component, port, None),)))
        assert f"dev/entry/{component} leads nowhere" in (await _get(port)).text
    await gateway.apply(Table())
    await gateway.apply(Table((), (entry("c", port, None),)))
    assert "dev/entry/c leads nowhere" in (await _get(port)).text


async def test_two_addresses_can_swap_their_ports(gateway: Gateway) -> None:
    """In one table, like any other change."""
    ports = [free_port(), free_port()]
    for first, second in (ports, ports[::-1], ports):
        await gateway.apply(Table((), (entry("a", first, None), entry("b", second, None))))
        assert "dev/entry/a leads nowhere" in (await _get(first)).text
        assert "dev/entry/b leads nowhere" in (await _get(second)).text


async def test_a_gateway_outlives_its_agent_and_is_adopted(gateway: Gateway, place: Place) -> None:
    """The next agent finds the same process with its table and its counts, and can change both."""
    port = free_port()
    async with instance("one") as one:
        group = upstream("a", 1, one.port)
        table = Table((group,), (entry("a", port, group),))
        await gateway.apply(table)
        await _get(port)

        heir = place.gateway()
        await heir.start()
        assert heir.pid == gateway.pid
        assert (await heir.traffic(["dev/entry/a"]))["dev/entry/a"].answers == 1
        await heir.apply(table)
        assert (await _get(port)).text == "one"
        await heir.apply(Table((group,), (entry("a", port, None),)))
        assert (await _get(port)).status_code == 503


async def test_a_process_that_only_has_the_same_pid_is_left_alone(place: Place) -> None:
    """After a restart of the machine the number in the file may be anybody's."""
    folder = place.folder / "gateway"
    folder.mkdir()
    (folder / "process.json").write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
    gateway = place.gateway()
    await gateway.start()
    try:
        assert gateway.pid != os.getpid()
    finally:
        await gateway.stop()


async def test_a_gateway_that_cannot_be_reached_any_more_is_replaced(gateway: Gateway, place: Place) -> None:
    """Somebody cleaned the folder of the sockets: the next agent gets a new gateway with the same addresses, and
    nobody is left with one that has no master."""
    port = free_port()
    await gateway.apply(Table((), (entry("a", port, None),)))
    for path in place.sockets.iterdir():
        path.unlink()
    heir = place.gateway()
    await heir.start()
    try:
        assert heir.pid != gateway.pid
        assert not await gateway.alive()
        assert "dev/entry/a leads nowhere" in (await _get(port)).text
    finally:
        await heir.stop()


async def test_a_gateway_that_was_killed_comes_back_with_its_table(gateway: Gateway) -> None:
    """Same addresses, same groups."""
    port = free_port()
    async with instance("one") as one:
        group = upstream("a", 1, one.port)
        table = Table((group,), (entry("a", port, group),))
        await gateway.apply(table)
        assert await gateway.revive() is False

        killed = gateway.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: _gone(gateway), "the gateway died")
        with pytest.raises(TargetUnreachable):
            await gateway.apply(table)
        assert await gateway.revive() is True
        assert gateway.pid != killed
        assert (await _get(port)).text == "one"


async def _gone(gateway: Gateway) -> bool:
    return not await gateway.alive()


async def test_a_port_that_was_taken_meanwhile_is_told_when_the_gateway_comes_back(gateway: Gateway) -> None:
    """And all the other addresses work."""
    port, lost = free_port(), free_port()
    await gateway.apply(Table((), (entry("a", port, None), entry("b", lost, None))))
    killed = gateway.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: _gone(gateway), "the gateway died")
    with socket.create_server(("127.0.0.1", lost)):
        with pytest.raises(GatewayRefused, match="cannot change the gateway") as refused:
            await gateway.revive()
        assert f"127.0.0.1:{lost}" in refused.value.detail
        assert "dev/entry/a leads nowhere" in (await _get(port)).text


async def test_stop_leaves_no_process_and_no_socket(place: Place) -> None:
    """And a second stop is harmless; the next gateway starts with no address."""
    gateway = place.gateway()
    await gateway.start()
    port, pid = free_port(), gateway.pid
    await gateway.apply(Table((), (entry("a", port, None),)))
    await gateway.stop()
    await gateway.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert list(place.sockets.iterdir()) == []
    await gateway.start()
    try:
        with pytest.raises(httpx.ConnectError):
            await _get(port)
    finally:
        await gateway.stop()


async def test_only_the_user_may_administer_the_gateway(gateway: Gateway, place: Place) -> None:
    """Its sockets have mode 0600."""
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.sockets.iterdir()} == {0o600}
    assert len(list(place.sockets.iterdir())) == 2


async def test_a_path_too_long_for_a_socket_is_told_before_anything_starts(tmp_path: Path) -> None:
    """With the path, the limit and what to do."""
    gateway = Gateway(tmp_path / "gateway", tmp_path / ("x" * 100), lambda name: tmp_path / name)
    with pytest.raises(TargetError, match="cannot start the gateway") as refused:
        await gateway.start()
    assert "103" in refused.value.detail
    assert gateway.pid is None


async def test_hundreds_of_addresses_move_together(gateway: Gateway) -> None:
    """300 addresses, one table, one moment; the time is printed."""
    ports: set[int] = set()
    while len(ports) < 300:
        ports.add(free_port())
    async with instance("one") as one, instance("two") as two:
        groups = upstream("a", 1, one.port), upstream("a", 2, two.port)

        def listeners(to: Upstream) -> tuple[Listener, ...]:
            return tuple(
                Listener(f"dev/entry/a{port}", Role.ENTRY, "dev", port, "", "", "", "a", to.name)
                for port in sorted(ports)
            )

        began = time.perf_counter()
        await gateway.apply(Table(groups, listeners(groups[0])))
        added = time.perf_counter()
        await gateway.apply(Table(groups, listeners(groups[1])))
        report(f"300 addresses: added in {added - began:.2f} s, moved in {(time.perf_counter() - added) * 1000:.0f} ms")
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = {(await client.get(f"http://127.0.0.1:{port}/")).text for port in list(ports)[::20]}
        assert answers == {"two"}
