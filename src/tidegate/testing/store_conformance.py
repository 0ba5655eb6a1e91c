"""The promises that every store keeps, as a suite of tests.

A store's tests subclass `StoreConformance` and provide an async fixture `store`, an empty store whose clock is
`clock`:

    class TestSqlite(StoreConformance):
        @pytest.fixture
        async def store(self, tmp_path, clock): ...; yield store
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tidegate.errors import ClaimLost, ClaimRefused, NotInStore, StalePlan, StoreError
from tidegate.model.address import GroupAddress
from tidegate.model.component import Artifact, Kind, Release, Runtime
from tidegate.model.digest import digest, digest_bytes, short
from tidegate.model.encoding import sealed
from tidegate.model.pins import Pin, Secret, Shape
from tidegate.model.plan import Change, Phase, PinChange, Plan, PlannedStep
from tidegate.model.step import Start
from tidegate.ports.store import Claim, Event, Store


class StillClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = 1_000_000.0

    def now(self) -> float:
        """As `Clock.now`."""
        return self.moment

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        self.moment += seconds


def a_pin(version: str, *, replicas: int = 1) -> Pin:
    """A pin of a release that nobody made."""
    shape = Shape(replicas, True, (("MODE", version), ("TOKEN", Secret("env:TOKEN"))))
    return Pin(digest("release", version), "", shape)


def a_plan(
    parent: int,
    number: int,
    *changes: Mapping[str, Pin | None],
    environment: str = "dev",
    note: str = "plan",
    neighbours: Sequence[str] = (),
) -> Plan:
    """A plan whose changes set these pins, have these neighbours, and the numbers from `number` on."""
    made = []
    for place, pins in enumerate(changes):
        born = number + place
        steps = tuple(
            PlannedStep(f"start:{name}", Phase.PREPARE, Start(GroupAddress(environment, name, born), pin))
            for name, pin in sorted(pins.items())
            if pin
        )
        changed = tuple(PinChange(name, None, pin, (note,)) for name, pin in sorted(pins.items()))
        intent = digest("intent", [environment, born])
        made.append(Change(born, changed, steps, intent, neighbours=tuple(neighbours)))
    return sealed(Plan(environment, parent, tuple(made)))


def a_release(component: str = "backend", *, version: str = "1", dirty: bool = False, at: float = 1.0) -> Release:
    """A release that nobody made."""
    return Release(
        digest=digest("release", [component, version]),
        component=component,
        kind=Kind.SERVICE,
        team="catalog",
        runtime=Runtime(run="serve", needs=("db",), verify="check"),
        version=version,
        commit="" if dirty else "c0ffee",
        dirty=dirty,
        by="ana",
        at=at,
    )


async def claimed(
    store: Store, plan: Plan, *, holder: str = "one", lease: float = 30, place: str = ""
) -> Sequence[Claim]:
    """Keep the plan and claim it."""
    await store.put_plan(plan)
    return await store.claim(plan, holder=holder, lease=lease, place=place)


async def committed(store: Store, pins: Mapping[str, Pin | None], *, environment: str = "dev") -> int:
    """One whole change; its revision number."""
    record = await store.environment(environment)
    [claim] = await claimed(store, a_plan(record.head, record.next_number, pins, environment=environment))
    revision = await store.commit(claim, pins, by="ana", why="because")
    await store.release_claim(claim)
    return revision.number


class StoreConformance:
    """Every method is one transaction; the store alone says which revision is current."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The product runs on asyncio."""
        return "asyncio"

    @pytest.fixture
    def clock(self) -> StillClock:
        """The store's clock."""
        return StillClock()

    # Environments and claims

    async def test_an_environment_that_was_never_changed_has_no_revision(self, store: Store) -> None:
        """Asking for it is no error and leaves no trace."""
        record = await store.environment("dev")
        assert (record.head, record.next_number, record.claims) == (0, 1, ())
        assert list(await store.environments()) == []
        assert list(await store.history("dev")) == []

    async def test_a_claim_reserves_its_number_and_tells_when_it_expires(self, store: Store, clock: StillClock) -> None:
        """Each change of a plan has a claim with an epoch of its own."""
        plan = a_plan(0, 1, {"a": a_pin("1")}, {"b": a_pin("1"), "c": a_pin("1")})
        first, second = await claimed(store, plan, holder="host:1", lease=30)
        expected = Claim("dev", ("a",), 1, first.epoch, plan.digest, "host:1", clock.now() + 30, at=clock.now())
        assert first == expected
        assert second.components == ("b", "c")
        assert second.epoch > first.epoch
        record = await store.environment("dev")
        assert record.claims == (first, second)
        assert record.next_number == 3
        assert [found.name for found in await store.environments()] == ["dev"]

    async def test_what_is_claimed_is_refused_to_others_with_who_holds_it(self, store: Store) -> None:
        """A plan gets all of its components or none; what does not overlap goes on side by side."""
        [held] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), holder="host:77")
        with pytest.raises(ClaimRefused) as refused:
            await claimed(store, a_plan(0, 2, {"b": a_pin("2")}, {"a": a_pin("2")}))
        assert "host:77" in str(refused.value)
        assert short(held.plan) in str(refused.value)
        assert (await store.environment("dev")).claims == (held,)
        [beside] = await claimed(store, a_plan(0, 2, {"b": a_pin("2")}))
        assert (await store.environment("dev")).claims == (held, beside)

    async def test_a_refusal_tells_who_since_when_with_which_plan_and_components(
        self, store: Store, clock: StillClock
    ) -> None:
        """So that people know whom to ask and how long it has been going on."""
        clock.moment = 1_893_456_000.0
        [held] = await claimed(store, a_plan(0, 1, {"a": a_pin("1"), "b": a_pin("1")}), holder="vm:77:1893450000.00")
        clock.moment += 20
        with pytest.raises(ClaimRefused) as refused:
            await claimed(store, a_plan(0, 2, {"b": a_pin("2")}))
        for told in ("b: ", "a, b change", "process 77 on vm", "since 2030-01-01 00:00:00 UTC", short(held.plan)):
            assert told in str(refused.value)

    async def test_what_a_change_is_wired_to_is_not_changed_meanwhile(self, store: Store) -> None:
        """Two changes may lean on the same neighbour; neither may change the other's."""
        [held] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}, neighbours=["n"]))
        assert held.neighbours == ("n",)
        with pytest.raises(ClaimRefused, match="n: being changed"):
            await claimed(store, a_plan(0, 2, {"n": a_pin("1")}))
        with pytest.raises(ClaimRefused, match="a: being changed"):
            await claimed(store, a_plan(0, 2, {"b": a_pin("1")}, neighbours=["a"]))
        [beside] = await claimed(store, a_plan(0, 2, {"b": a_pin("1")}, neighbours=["n"]))
        assert (await store.environment("dev")).claims == (held, beside)

    async def test_an_environment_lives_at_one_place(self, store: Store) -> None:
        """Where its first change was claimed; elsewhere one is told where that is."""
        pins: dict[str, Pin | None] = {"a": a_pin("1")}
        [claim] = await claimed(store, a_plan(0, 1, pins), place="ana-laptop:/shop")
        assert (await store.environment("dev")).place == "ana-laptop:/shop"
        with pytest.raises(ClaimRefused, match="ana-laptop:/shop"):
            await claimed(store, a_plan(0, 2, {"b": a_pin("1")}), place="vm:/shop")
        await store.commit(claim, pins, by="ana", why="")
        await store.release_claim(claim)
        with pytest.raises(ClaimRefused, match="ana-laptop:/shop"):
            await claimed(store, a_plan(1, 2, {"b": a_pin("1")}), place="vm:/shop")
        [here] = await claimed(store, a_plan(1, 2, {"b": a_pin("1")}), place="ana-laptop:/shop")
        await store.release_claim(here)

    async def test_an_environment_of_nothing_lives_nowhere(self, store: Store) -> None:
        """After it was taken down, and when its first change came to nothing, it may begin at another place."""
        first, second = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}, {"b": a_pin("1")}), place="one")
        await store.release_claim(first)
        assert (await store.environment("dev")).place == "one"
        await store.release_claim(second)
        assert (await store.environment("dev")).place == ""
        for number, (version, place) in enumerate([("1", "two"), (None, "two")], start=3):
            pins = {"a": a_pin(version) if version else None}
            head = (await store.environment("dev")).head
            [claim] = await claimed(store, a_plan(head, number, pins), place=place)
            await store.commit(claim, pins, by="ana", why="")
            assert (await store.environment("dev")).place == "two"
            await store.release_claim(claim)
        assert (await store.environment("dev")).place == ""
        await claimed(store, a_plan(4, 5, {"a": a_pin("1")}), place="three")

    async def test_an_expired_claim_still_refuses_others(self, store: Store, clock: StillClock) -> None:
        """What its holder left behind has to be recovered before anybody changes it again."""
        await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), lease=30)
        clock.moment += 3600
        with pytest.raises(ClaimRefused):
            await claimed(store, a_plan(0, 2, {"a": a_pin("2")}))

    async def test_a_plan_is_stale_when_its_components_or_neighbours_were_touched(self, store: Store) -> None:
        """What was planned and approved is no longer the difference. Who made it so, and what that changed, is told."""
        await committed(store, {"a": a_pin("1"), "b": a_pin("1")})
        await committed(store, {"a": a_pin("2")})
        for plan in (a_plan(1, 3, {"a": a_pin("3")}), a_plan(1, 3, {"b": a_pin("3")}, neighbours=["a"])):
            with pytest.raises(StalePlan, match=r"dev@2, by ana at .*: a"):
                await claimed(store, plan)

    async def test_a_plan_outlives_revisions_that_did_not_touch_it(self, store: Store) -> None:
        """It is committed on top of them."""
        await committed(store, {"a": a_pin("1"), "b": a_pin("1")})
        await committed(store, {"a": a_pin("2")})
        [claim] = await claimed(store, a_plan(1, 3, {"b": a_pin("3")}, neighbours=["c"]))
        made = await store.commit(claim, {"b": a_pin("3")}, by="bo", why="")
        assert (made.parent, made.pins) == (2, {"a": a_pin("2"), "b": a_pin("3")})

    async def test_a_plan_of_another_line_is_stale(self, store: Store) -> None:
        """Its parent is not among the revisions that the head comes from."""
        await committed(store, {"a": a_pin("1")})
        with pytest.raises(StalePlan, match="does not come from"):
            await claimed(store, a_plan(7, 9, {"b": a_pin("1")}))

    async def test_numbers_that_were_reserved_are_given_to_nobody_else(self, store: Store) -> None:
        """Whoever plans at the same moment gets others, and a reserved one can be claimed later."""
        await committed(store, {"a": a_pin("1")})
        first = await store.reserve_numbers("dev", 2)
        assert await store.reserve_numbers("dev", 1) == first + 2
        [claim] = await claimed(store, a_plan(1, first + 1, {"b": a_pin("1")}))
        assert claim.number == first + 1

    async def test_a_plan_whose_number_is_taken_is_stale(self, store: Store) -> None:
        """Two plans made at the same moment reserve the same number; the second to claim plans again."""
        await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), holder="host:77")
        with pytest.raises(StalePlan, match="ost:77 took the number 1"):
            await claimed(store, a_plan(0, 1, {"b": a_pin("1")}))

    async def test_epochs_grow_for_ever(self, store: Store) -> None:
        """A target that has seen an epoch never meets it again, also after claims were given back."""
        epochs = []
        for number in (1, 2, 3):
            [claim] = await claimed(store, a_plan(0, number, {"a": a_pin("1")}))
            epochs.append(claim.epoch)
            await store.release_claim(claim)
        assert epochs == sorted(set(epochs))

    async def test_giving_a_claim_back_twice_is_harmless(self, store: Store) -> None:
        """Only this claim goes."""
        first, second = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}, {"b": a_pin("1")}))
        await store.release_claim(first)
        await store.release_claim(first)
        assert (await store.environment("dev")).claims == (second,)

    async def test_renewing_extends_the_lease(self, store: Store, clock: StillClock) -> None:
        """Also when it ran out and nobody took over."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), lease=30)
        clock.moment += 100
        renewed = await store.renew(claim, lease=30)
        assert renewed == replace(claim, lease=clock.now() + 30)
        assert (await store.environment("dev")).claims == (renewed,)

    async def test_a_claim_is_taken_over_when_its_lease_ran_out(self, store: Store, clock: StillClock) -> None:
        """With a younger epoch, the same number and plan; the former holder has lost it."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), holder="dead", lease=30)
        with pytest.raises(ClaimRefused):
            await store.take_over(claim, holder="heir", lease=30)
        clock.moment += 31
        younger = await store.take_over(claim, holder="heir", lease=30)
        lease = clock.now() + 30
        assert younger == replace(claim, epoch=younger.epoch, holder="heir", lease=lease, recovering=True)
        assert younger.epoch > claim.epoch
        with pytest.raises(ClaimLost):
            await store.renew(claim, lease=30)
        with pytest.raises(ClaimLost):
            await store.reserve(claim)
        with pytest.raises(ClaimLost):
            await store.commit(claim, {"a": a_pin("1")}, by="dead", why="")
        assert (await store.environment("dev")).head == 0
        await store.release_claim(claim)
        assert (await store.environment("dev")).claims == (younger,)

    async def test_two_that_take_over_the_same_claim_do_not_both_get_it(self, store: Store) -> None:
        """Whoever looked at the older claim is refused; so is one whose claim is gone."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        younger = await store.take_over(claim, holder="first", lease=30, vanished=True)
        with pytest.raises(ClaimRefused):
            await store.take_over(claim, holder="second", lease=30, vanished=True)
        await store.release_claim(younger)
        with pytest.raises(ClaimRefused):
            await store.take_over(younger, holder="third", lease=30, vanished=True)

    async def test_a_clock_that_was_set_back_does_not_make_claims_last_for_ever(
        self, store: Store, clock: StillClock
    ) -> None:
        """A lease that ends later than any given now was given by the former clock, and is over."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}), lease=30)
        clock.moment -= 3600
        younger = await store.take_over(claim, holder="heir", lease=30)
        assert younger.lease == clock.now() + 30
        with pytest.raises(ClaimRefused):
            await store.take_over(younger, holder="third", lease=30)

    async def test_an_unsettled_claim_refuses_all_but_recovery(self, store: Store, clock: StillClock) -> None:
        """It names why, and the three ways out; whoever takes it over need not wait, and it is settled no longer."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        clock.moment += 10
        unsettled = await store.unsettle(claim, "the port was taken by another program")
        assert unsettled == replace(claim, unsettled="the port was taken by another program", lease=clock.now())
        assert (await store.environment("dev")).claims == (unsettled,)
        with pytest.raises(ClaimRefused) as refused:
            await claimed(store, a_plan(0, 2, {"a": a_pin("2")}))
        ways = ("tidegate resume dev", "tidegate undo dev", 'tidegate abandon dev --because "')
        for told in ("unsettled", "the port was taken", *ways):
            assert told in str(refused.value)
        younger = await store.take_over(unsettled, holder="heir", lease=30)
        assert (younger.unsettled, younger.recovering, younger.at) == ("", True, claim.at)
        with pytest.raises(ClaimLost):
            await store.unsettle(claim, "too late")
        assert (await store.environment("dev")).claims == (younger,)

    async def test_undo_gets_a_number_that_nobody_else_gets(self, store: Store) -> None:
        """A group that is born during undo is not mistaken for one of another change."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        numbers = [await store.reserve(claim), await store.reserve(claim)]
        assert numbers == [2, 3]
        assert (await store.environment("dev")).next_number == 4

    # Revisions

    async def test_a_commit_makes_the_next_revision_of_the_line(self, store: Store, clock: StillClock) -> None:
        """It replaces these pins, keeps the others, and becomes the head."""
        one, two = a_pin("1"), a_pin("2", replicas=3)
        await committed(store, {"a": one, "b": one})
        [claim] = await claimed(store, a_plan(1, 2, {"b": two, "c": one}))
        revision = await store.commit(claim, {"b": two, "c": one}, by="ana", why="faster")
        assert (revision.name, revision.parent, revision.plan) == ("dev@2", 1, claim.plan)
        assert (revision.by, revision.why, revision.at) == ("ana", "faster", clock.now())
        assert dict(revision.pins) == {"a": one, "b": two, "c": one}
        assert await store.revision("dev", 2) == revision
        record = await store.environment("dev")
        assert (record.head, record.claims) == (2, (claim,))

    async def test_a_claim_may_commit_a_number_that_it_reserved(self, store: Store) -> None:
        """What becomes of a change that could not be finished is a revision of its own; no other number will do."""
        one: dict[str, Pin | None] = {"a": a_pin("1")}
        [claim] = await claimed(store, a_plan(0, 1, one))
        with pytest.raises(StoreError, match="dev@2"):
            await store.commit(claim, one, by="ana", why="", number=2)
        number = await store.reserve(claim)
        made = await store.commit(claim, one, by="ana", why="kept", number=number)
        assert (made.number, made.parent, number) == (2, 0, 2)
        assert (await store.environment("dev")).head == 2
        [event] = await store.events(kind="committed")
        assert (event.subject, event.body["number"]) == ("dev@2", 2)

    async def test_a_pin_that_goes_is_removed(self, store: Store) -> None:
        """And the revision before still has it."""
        await committed(store, {"a": a_pin("1"), "b": a_pin("1")})
        await committed(store, {"a": None})
        newest, oldest = await store.history("dev")
        assert dict(newest.pins) == {"b": a_pin("1")}
        assert dict(oldest.pins) == {"a": a_pin("1"), "b": a_pin("1")}

    async def test_changes_of_one_plan_commit_in_any_order_and_all_count(self, store: Store) -> None:
        """The line follows the order of the commits, not of the reserved numbers."""
        pins = [{"a": a_pin("1")}, {"b": a_pin("1")}, {"c": a_pin("1")}]
        claims = await claimed(store, a_plan(0, 1, *pins))
        for place in (2, 0, 1):
            await store.commit(claims[place], pins[place], by="ana", why="")
        history = await store.history("dev")
        assert [(revision.number, revision.parent) for revision in history] == [(2, 1), (1, 3), (3, 0)]
        assert [sorted(revision.pins) for revision in history] == [["a", "b", "c"], ["a", "c"], ["c"]]

    async def test_history_tells_each_revision_as_it_was(self, store: Store) -> None:
        """Newest first, no more than asked for, each the same as when it is looked at by itself."""
        for version in range(7):
            changed: dict[str, Pin | None] = {"a": a_pin(str(version)), f"c{version % 3}": a_pin(str(version))}
            if version == 4:
                changed["c0"] = None
            await committed(store, changed)
        await committed(store, {"x": a_pin("1")}, environment="stage")
        history = await store.history("dev")
        assert [revision.number for revision in history] == [7, 6, 5, 4, 3, 2, 1]
        for revision in history:
            assert revision == await store.revision("dev", revision.number)
        assert list(await store.history("dev", limit=3)) == list(history[:3])

    async def test_a_revision_that_is_not_there_is_said_so(self, store: Store) -> None:
        """By name."""
        with pytest.raises(NotInStore, match="dev@9"):
            await store.revision("dev", 9)

    async def test_a_commit_is_made_once_and_only_of_what_was_claimed(self, store: Store) -> None:
        """Nothing is changed by one that is refused."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        with pytest.raises(StoreError):
            await store.commit(claim, {"a": a_pin("1"), "b": a_pin("1")}, by="ana", why="")
        assert (await store.environment("dev")).head == 0
        await store.commit(claim, {"a": a_pin("1")}, by="ana", why="")
        with pytest.raises(StoreError):
            await store.commit(claim, {"a": a_pin("2")}, by="ana", why="")
        assert dict((await store.revision("dev", 1)).pins) == {"a": a_pin("1")}

    # Releases, artifacts, blobs, plans

    async def test_a_release_is_kept_as_it_was_first_made(self, store: Store) -> None:
        """Whoever makes it again gets the first one."""
        first = a_release(at=1.5)
        assert await store.put_release(first) == first
        assert await store.put_release(replace(first, by="bo", at=9.0)) == first
        assert await store.release(first.digest) == first
        with pytest.raises(NotInStore):
            await store.release("sha256:none")

    async def test_a_clean_release_replaces_a_dirty_one_and_never_the_other_way(self, store: Store) -> None:
        """The same sources, committed in the meantime, may leave the first environment."""
        dirty, clean = a_release(dirty=True), a_release()
        assert await store.put_release(dirty) == dirty
        assert await store.put_release(clean) == clean
        assert await store.put_release(dirty) == clean
        assert await store.release(clean.digest) == clean

    async def test_many_releases_are_found_at_once(self, store: Store) -> None:
        """Of any number; one that is missing is an error."""
        made = [a_release(version=str(place)) for place in range(3)]
        for release in made:
            await store.put_release(release)
        assert await store.releases_named([]) == {}
        assert await store.releases_named([r.digest for r in made[1:]] * 2) == {r.digest: r for r in made[1:]}
        with pytest.raises(NotInStore, match="sha256:none"):
            await store.releases_named([made[0].digest, *(f"sha256:none{n}" for n in range(1200))])

    async def test_releases_are_listed_newest_first(self, store: Store) -> None:
        """All, or those of a component."""
        old, new = a_release(version="1", at=1.0), a_release(version="2", at=3.0)
        other = a_release("frontend", at=2.0)
        for release in (new, old, other):
            await store.put_release(release)
        assert list(await store.releases()) == [new, other, old]
        assert list(await store.releases("backend")) == [new, old]
        assert list(await store.releases("nobody")) == []

    async def test_one_artifact_per_release_format_and_platform(self, store: Store) -> None:
        """First writer wins; a forgotten one can be built again, and its release stays."""
        first = Artifact("sha256:a", "sha256:r", "tree", "linux-x86_64", "/one")
        image = replace(first, format="image", digest="sha256:i")
        assert await store.put_artifact(first) == first
        assert await store.put_artifact(replace(first, digest="sha256:b", location="/two")) == first
        assert await store.put_artifact(image) == image
        assert sorted(found.format for found in await store.artifacts("sha256:r")) == ["image", "tree"]
        await store.forget_artifact(first)
        await store.forget_artifact(first)
        assert list(await store.artifacts("sha256:r")) == [image]

    async def test_a_blob_is_kept_under_its_digest(self, store: Store) -> None:
        """Any bytes; again is harmless."""
        content = bytes(range(256)) * 10
        name = await store.put_blob("settings", content)
        assert name == digest_bytes("settings", content)
        assert await store.put_blob("settings", content) == name
        assert await store.blob(name) == content
        assert await store.blob(await store.put_blob("settings", b"")) == b""
        with pytest.raises(NotInStore):
            await store.blob("sha256:none")

    async def test_a_plan_comes_back_as_it_was(self, store: Store) -> None:
        """With the digest that people approved; one whose digest does not fit is refused."""
        plan = a_plan(0, 1, {"a": a_pin("1"), "b": None}, {"c": a_pin("2")})
        await store.put_plan(plan)
        await store.put_plan(plan)
        found = await store.plan(plan.digest)
        assert (found, found.digest) == (plan, plan.digest)
        with pytest.raises(StoreError):
            await store.put_plan(replace(plan, parent=7))
        with pytest.raises(NotInStore):
            await store.plan("sha256:none")

    # The journal

    async def test_the_journal_keeps_order_and_time(self, store: Store, clock: StillClock) -> None:
        """The store gives both."""
        for step in ("one", "two", "three"):
            clock.moment += 1
            await store.append(Event("dev", "step-done", "ana", "p", step, 4, "backend", {"took": [1, None, "ü"]}))
        found = await store.events()
        assert [event.step for event in found] == ["one", "two", "three"]
        assert [event.seq for event in found] == sorted({event.seq for event in found})
        assert [event.at for event in found] == [clock.now() - 2, clock.now() - 1, clock.now()]
        expected = Event("dev", "step-done", "ana", "p", "three", 4, "backend", {"took": [1, None, "ü"]})
        assert replace(found[-1], seq=0, at=0.0) == expected

    async def test_the_last_events_are_found_by_environment_and_plan(self, store: Store) -> None:
        """Oldest first, no more than asked for."""
        for place in range(12):
            await store.append(Event(f"e{place % 2}", "noted", plan=f"p{place % 3}", subject=str(place)))
        assert [event.subject for event in await store.events(limit=3)] == ["9", "10", "11"]
        assert [event.subject for event in await store.events(environment="e1", limit=2)] == ["9", "11"]
        assert [event.subject for event in await store.events(plan="p0")] == ["0", "3", "6", "9"]
        assert [event.subject for event in await store.events(environment="e0", plan="p0")] == ["0", "6"]

    async def test_events_are_found_by_kind_and_subject(self, store: Store) -> None:
        """Also together with the environment."""
        for place in range(12):
            kind = "interrupted" if place % 4 == 0 else "noted"
            await store.append(Event(f"e{place % 2}", kind, subject=f"s{place % 3}", step=str(place)))
        assert [event.step for event in await store.events(kind="interrupted")] == ["0", "4", "8"]
        assert [event.step for event in await store.events(subject="s1", limit=2)] == ["7", "10"]
        found = await store.events(environment="e0", kind="interrupted", subject="s2")
        assert [event.step for event in found] == ["8"]
        assert list(await store.events(environment="e1", kind="interrupted")) == []

    async def test_the_journal_keeps_its_order_when_the_clock_is_set_back(
        self, store: Store, clock: StillClock
    ) -> None:
        """What came later stands later, whatever time it says."""
        for step in ("one", "two", "three"):
            await store.append(Event("dev", "noted", step=step))
            clock.moment -= 3600
        assert [event.step for event in await store.events()] == ["one", "two", "three"]

    async def test_a_commit_is_in_the_journal(self, store: Store) -> None:
        """With who made it, under which plan and epoch."""
        [claim] = await claimed(store, a_plan(0, 1, {"a": a_pin("1")}))
        await store.commit(claim, {"a": a_pin("1")}, by="ana", why="")
        [event] = [event for event in await store.events(environment="dev") if event.kind == "committed"]
        assert (event.actor, event.plan, event.epoch, event.subject) == ("ana", claim.plan, claim.epoch, "dev@1")
