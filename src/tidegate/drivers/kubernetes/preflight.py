"""What would stand in the way of a plan, all of it, before anything is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tidegate.drivers.kubernetes.client import Api, ConflictError, ForbiddenError, InvalidError, RefusedError
from tidegate.drivers.kubernetes.kinds import DEPLOYMENT, NAMESPACE, PVC, RESOURCE_QUOTA, STORAGE_CLASS
from tidegate.drivers.kubernetes.names import MANAGED_BY, TIDEGATE
from tidegate.drivers.kubernetes.permissions import REGISTRY_NAMESPACE, Rule, Where, rules
from tidegate.drivers.kubernetes.quotas import short_of
from tidegate.drivers.kubernetes.restricted import violations
from tidegate.drivers.kubernetes.side_by_side import side_by_side
from tidegate.errors import StepFailed, TargetError
from tidegate.model.plan import Plan
from tidegate.model.step import Provide, Replace, Start

Json = dict[str, Any]
Making = Start | Replace | Provide
OLDEST = (1, 30)
"""The first version of Kubernetes whose `preStop` sleeps by itself, and whose Jobs know why they failed."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ENFORCED = "pod-security.kubernetes.io/enforce"


class Preflight:
    """Looks at one environment's place in a cluster. `objects` gives what a step would make; it may raise `TargetError`
    or `StepFailed`. `alone`: no other environment may be on the cluster (isolation `server`)."""

    def __init__(
        self,
        api: Api,
        environment: str,
        namespace: str,
        objects: Callable[[Making], Awaitable[Sequence[Json]]],
        *,
        alone: bool = False,
    ) -> None:
        self._api = api
        self._environment = environment
        self._namespace = namespace
        self._objects = objects
        self._alone = alone

    async def check(self, plan: Plan) -> None:
        """Raises `TargetError` that names all that is missing at once; `TargetUnreachable`. Changes nothing."""
        version = await self._api.version()
        space: Json | None = {}
        with suppress(ForbiddenError):  # which is among what is missing
            space = await self._api.get(NAMESPACE, self._namespace)
        missing = await self._permissions(makes=space is None)
        found = _too_old(version) + missing
        try:
            found += await self._obstacles(plan, space, missing=bool(missing))
        except (TargetError, StepFailed):
            if not missing:
                raise
        if found:
            raise TargetError(
                f"cannot change {self._environment}",
                "\n".join(found),
                hint=self._hint(missing=bool(missing)),
                address=self._environment,
            )

    async def _obstacles(self, plan: Plan, space: Json | None, *, missing: bool) -> list[str]:
        """What else stands in the way. With permissions `missing`, as far as may be looked at."""
        made = await self._made(plan)
        looks = [self._others(), self._storage(made, there=space is not None)]
        if space is not None:
            looks += [self._admission(made, missing=missing), self._quota(plan, made)]
        return self._security(space or {}, made) + await _gathered(looks, missing=missing)

    async def refused(self, error: ForbiddenError) -> TargetError:
        """What to say instead of an error for one missing permission: all that are missing."""
        missing = await self._permissions(makes=True)
        if not missing:
            return error
        return TargetError(
            f"cannot look at {self._environment}",
            "\n".join(missing),
            hint=self._hint(missing=True),
            address=self._environment,
        )

    async def _permissions(self, *, makes: bool) -> list[str]:
        """Each verb on each resource, asked side by side."""
        refused: dict[tuple[Rule, str], list[str]] = {}

        async def ask(rule: Rule, resource: str, verb: str) -> None:
            if not await self._may(rule, resource, verb):
                refused.setdefault((rule, resource), []).append(verb)

        async with side_by_side() as tasks:
            for rule in rules(self._namespace, makes_namespace=makes, alone=self._alone):
                if rule.must:
                    for resource in rule.resources:
                        for verb in rule.verbs:
                            tasks.start_soon(ask, rule, resource, verb)
        return sorted(self._lacking(rule, resource, verbs) for (rule, resource), verbs in refused.items())

    async def _may(self, rule: Rule, resource: str, verb: str) -> bool:
        place = {Where.NAMESPACE: self._namespace, Where.PUBLIC: REGISTRY_NAMESPACE}.get(rule.where, "")
        name, _, part = resource.partition("/")
        asked = {
            "namespace": place,
            "verb": verb,
            "group": rule.group,
            "resource": name,
            "subresource": part,
            "name": rule.names[0] if rule.names else "",
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        answer = await self._api.raw("POST", REVIEWS, body=review, what="ask for our permissions")
        return bool(answer["status"].get("allowed"))

    def _lacking(self, rule: Rule, resource: str, verbs: Iterable[str]) -> str:
        what = f"{resource}.{rule.group}" if rule.group else resource
        name = f" {rule.names[0]}" if rule.names else ""
        order = {verb: place for place, verb in enumerate(rule.verbs)}
        where = f"in {self._namespace}" if rule.where is Where.NAMESPACE else rule.where.value
        why = f" ({rule.why})" if rule.why else ""
        return f"permission: {', '.join(sorted(verbs, key=order.__getitem__))} {what}{name} {where}{why}"

    async def _made(self, plan: Plan) -> dict[str, Sequence[Json]]:
        """What each step of the plan would make, by the id of the step."""
        made: dict[str, Sequence[Json]] = {}
        for change in plan.changes:
            for planned in change.steps:
                if isinstance(planned.step, Making):
                    made[f"{change.number}/{planned.id}"] = await self._objects(planned.step)
        return made

    async def _admission(self, made: Mapping[str, Sequence[Json]], *, missing: bool) -> list[str]:
        """What the cluster would say to the Deployments."""
        found: dict[str, None] = {}

        async def ask(obj: Json) -> None:
            what = f"{obj['kind']} {obj['metadata']['name']}"
            try:
                await self._api.apply(obj, dry_run=True)
            except (ConflictError, ForbiddenError, InvalidError, RefusedError) as error:
                if missing and isinstance(error, ForbiddenError):
                    return  # told already, as what is missing
                found[f"{what}: {error.detail}"] = None

        async with side_by_side() as tasks:
            for objects in made.values():
                for obj in objects:
                    if obj["kind"] == DEPLOYMENT.kind:
                        tasks.start_soon(ask, obj)
        return sorted(found)

    async def _quota(self, plan: Plan, made: Mapping[str, Sequence[Json]]) -> list[str]:
        """Where the room for what comes, at the worst moment, is not there. What replaces something needs none."""
        quotas = (await self._api.list(RESOURCE_QUOTA, self._namespace)).items
        if not quotas:
            return []
        waves: dict[int, list[Json]] = {}
        for change in plan.changes:
            for planned in change.steps:
                if isinstance(planned.step, Start | Provide):
                    waves.setdefault(planned.wave, []).extend(made[f"{change.number}/{planned.id}"])
        there = {each["metadata"]["name"] for each in (await self._api.list(DEPLOYMENT, self._namespace)).items}
        there |= {each["metadata"]["name"] for each in (await self._api.list(PVC, self._namespace)).items}
        coming = [[obj for obj in wave if obj["metadata"]["name"] not in there] for wave in waves.values()]
        return sorted({line for wave in coming for quota in quotas for line in short_of(quota, wave)})

    def _security(self, space: Json, made: Mapping[str, Sequence[Json]]) -> list[str]:
        """What the namespace's pod security would refuse; only a patch can have brought that in."""
        if space.get("metadata", {}).get("labels", {}).get(ENFORCED) != "restricted":
            return []
        return sorted(
            {
                f"pod security of {self._namespace} is restricted: {obj['metadata']['name']}: {line}"
                for objects in made.values()
                for obj in objects
                if obj["kind"] == DEPLOYMENT.kind
                for line in violations(obj["spec"]["template"]["spec"])
            }
        )

    async def _storage(self, made: Mapping[str, Sequence[Json]], *, there: bool) -> list[str]:
        claims = [obj for objects in made.values() for obj in objects if obj["kind"] == PVC.kind]
        missing = []
        for claim in claims:
            name = claim["metadata"]["name"]
            if not there or await self._api.get(PVC, name, self._namespace) is None:
                missing.append((name, claim["spec"].get("storageClassName")))
        if not missing:
            return []
        try:
            classes = (await self._api.list(STORAGE_CLASS)).items
        except ForbiddenError:
            return []  # it will be seen when the volume is not bound
        names = {each["metadata"]["name"] for each in classes}
        default = any(each["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true" for each in classes)
        return [
            f"storage: nothing makes a volume for {name}: "
            + (f"no StorageClass {wanted}" if wanted else "no default StorageClass")
            for name, wanted in missing
            if (wanted not in names if wanted else not default)
        ]

    async def _others(self) -> list[str]:
        if not self._alone:
            return []
        spaces = (await self._api.list(NAMESPACE, labels={MANAGED_BY: TIDEGATE})).items
        others = sorted(name for each in spaces if (name := each["metadata"]["name"]) != self._namespace)
        if not others:
            return []
        return [f"isolation: the cluster has {', '.join(others)} beside it, and `isolation: server` wants it alone"]

    def _hint(self, *, missing: bool) -> str:
        if not missing:
            return "Nothing was changed."
        return (
            "Nothing was changed. Somebody who may do so can give the permissions: "
            f"tidegate rbac {self._environment} | kubectl apply -f -"
        )


def _too_old(version: tuple[int, int]) -> list[str]:
    if version >= OLDEST:
        return []
    return [f"version: the API server is Kubernetes {_dotted(version)}; {_dotted(OLDEST)} is the oldest that works"]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


async def _gathered(looks: Sequence[Awaitable[list[str]]], *, missing: bool) -> list[str]:
    found: list[list[str]] = [[] for _ in looks]

    async def look(place: int, one: Awaitable[list[str]]) -> None:
        try:
            found[place] = await one
        except TargetError:
            if not missing:
                raise

    async with side_by_side() as tasks:
        for place, one in enumerate(looks):
            tasks.start_soon(look, place, one)
    return [line for lines in found for line in lines]
