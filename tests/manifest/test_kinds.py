"""Services, workers and tasks: what each can say, and what it is told where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.manifest.projects import TOP, loaded, problems
from tidegate.model.component import Health, HealthKind, Hook, Kind

WORKER = """\
build: make
run: ./work
replicas: {default: 2}
health: {command: ./check, interval: 5s}
needs: [backend]
grace: 1m
before: ./migrate
after: {run: ./contract, undo: ./expand, retry: true, timeout: 2h}
"""


def test_a_worker_is_read_as_written(tmp_path: Path) -> None:
    """It has instances, commands around its change, and nothing that takes an address."""
    files = {
        "tidegate.yaml": TOP,
        "orders/worker.yaml": WORKER,
        "plain/worker.yaml": "run: ./work\n",
        "backend/service.yaml": "run: ./serve\n",
    }
    project = loaded(tmp_path, files)
    orders, plain = project.components["orders"], project.components["plain"]
    assert (orders.kind, orders.manifest, orders.replicas.default) == (Kind.WORKER, "orders/worker.yaml", 2)
    assert orders.runtime.health == Health(HealthKind.COMMAND, "./check", 5000)
    assert orders.runtime.before == Hook("./migrate")
    assert orders.runtime.after == Hook("./contract", "./expand", retry=True, timeout=7_200_000)
    assert (orders.runtime.needs, orders.runtime.grace, orders.exposed.default) == (("backend",), 60_000, False)
    assert plain.runtime.health == Health(HealthKind.ALIVE, interval=1000)


def test_a_task_is_read_as_written(tmp_path: Path) -> None:
    """One command with variables, settings and needs; ten minutes unless it says otherwise."""
    files = {
        "tidegate.yaml": f"{TOP}resources: {{db: {{dev: {{url: 'postgresql://db/app'}}}}}}\n",
        "seed/task.yaml": "run: ./seed\nretry: true\ntimeout: 30s\nneeds: [db, backend]\nsettings: conf\nenv: {A: b}\n",
        "seed/conf/dev.json": "{}",
        "plain/task.yaml": "name: report\nrun: ./report\n",
        "backend/service.yaml": "run: ./serve\n",
    }
    project = loaded(tmp_path, files)
    seed, report = project.components["seed"], project.components["report"]
    assert (seed.kind, seed.runtime.run, seed.runtime.retry, seed.runtime.timeout) == (
        Kind.TASK,
        "./seed",
        True,
        30_000,
    )
    assert (seed.runtime.needs, seed.runtime.resources) == (("backend",), ("db",))
    assert dict(seed.shape("dev").env) == {"A": "b", "DB_URL": "postgresql://db/app"}
    assert seed.settings_file("dev") == tmp_path / "seed/conf/dev.json"
    assert (report.runtime.retry, report.runtime.timeout) == (False, 600_000)


def test_a_service_with_data_and_one_that_never_overlaps(tmp_path: Path) -> None:
    """`data` and `overlap` are taken as written; a fixed port overlaps where instances have addresses of their own."""
    files = {
        "tidegate.yaml": TOP,
        "a/service.yaml": "run: x\ndata: true\n",
        "b/service.yaml": "run: x\noverlap: false\nreplicas: 3\n",
        "c/service.yaml": "run: x\nport: 8080\n",
        "d/service.yaml": "run: x\noverlap: true\n",
    }
    runtimes = {name: one.runtime for name, one in loaded(tmp_path, files).components.items()}
    assert runtimes["a"].data
    assert {name: one.overlap for name, one in runtimes.items() if name != "a"} == {"b": False, "c": True, "d": True}


MISTAKES: dict[str, tuple[str, str, int, int, str, str]] = {
    "worker port": ("worker", "run: x\nport: 80\n", 2, 1, "'port' cannot stand in worker.yaml", "Remove it."),
    "worker expose": ("worker", "run: x\nexpose: true\n", 2, 1, "a worker has no address", ""),
    "worker verify": ("worker", "run: x\nverify: y\n", 2, 1, "a worker has no address", ""),
    "worker overlap": ("worker", "run: x\noverlap: false\n", 2, 1, "always stop before", ""),
    "worker health path": ("worker", "run: x\nhealth: /up\n", 2, 9, "a worker has no address", "{command:"),
    "worker health tcp": ("worker", "run: x\nhealth: tcp\n", 2, 9, "a worker has no address", "as long as it runs"),
    "worker health http": ("worker", "run: x\nhealth: {http: /up}\n", 2, 10, "a worker has no address", "{command:"),
    "worker health list": ("worker", "run: x\nhealth: [a]\n", 2, 9, "'health' cannot be a list", "{command:"),
    "worker typo": ("worker", "run: x\nreplica: 2\n", 2, 1, "unknown key 'replica'", "Did you mean replicas?"),
    "worker retry": ("worker", "run: x\nretry: true\n", 2, 1, "belongs into before:", ""),
    "task replicas": ("task", "run: x\nreplicas: 2\n", 2, 1, "a task runs once", ""),
    "task health": ("task", "run: x\nhealth: nonsense\n", 2, 1, "a task runs once", ""),
    "task before": ("task", "run: x\nbefore: y\n", 2, 1, "'before' cannot stand in task.yaml", ""),
    "task without run": ("task", "retry: true\n", 1, 1, "'run' is missing", "Write the command"),
    "task timeout": ("task", "run: x\ntimeout: 0s\n", 2, 10, "must be longer than 0", ""),
    "service retry": ("service", "run: x\nretry: true\n", 2, 1, "belongs into before:, after: or task.yaml", ""),
    "before list": ("service", "run: x\nbefore: [a]\n", 2, 9, "'before' must be a text, not a list", ""),
    "before empty": ("service", "run: x\nbefore:\n", 2, 8, "'before' must be a text, not nothing", ""),
    "before without run": ("service", "run: x\nbefore: {undo: y}\n", 2, 9, "'run' is missing", "Write the command"),
    "before typo": ("service", "run: x\nbefore: {run: y, und: z}\n", 2, 18, "unknown key 'und' in before", "undo?"),
    "after retry": ("service", "run: x\nafter: {run: y, retry: often}\n", 2, 24, "must be true or false", ""),
    "data": ("service", "run: x\ndata: yes\n", 2, 7, "must be true or false", ""),
    "data replicas": ("service", "run: x\ndata: true\nreplicas: 2\n", 3, 1, "one instance, not 2", "replicas: 1"),
    "data replicas here": ("worker", "run: x\ndata: true\nreplicas: {default: 1, dev: 2}\n", 3, 24, "one writer", ""),
    "data overlap": ("service", "run: x\ndata: true\noverlap: true\n", 3, 1, "has one writer", "Remove overlap"),
    "port overlap": ("service", "run: x\nport: 80\noverlap: true\n", 3, 1, "fixed port 80", "$PORT"),
    "env DATA": ("worker", "run: x\nenv: {DATA: /tmp}\n", 2, 7, "'DATA' cannot be set", "another name"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_problem_at_its_place_with_the_reason(case: str, tmp_path: Path) -> None:
    """One mistake, one problem: what the kind cannot have is told with why."""
    kind, content, line, column, message, hint = MISTAKES[case]
    found = problems(tmp_path, {"tidegate.yaml": TOP, f"b/{kind}.yaml": content})
    assert [(one.file, one.line, one.column) for one in found] == [(f"b/{kind}.yaml", line, column)], found
    assert message in found[0].message
    assert hint in found[0].hint


@pytest.mark.parametrize("kind", ["worker", "task"])
def test_nobody_can_need_what_has_no_address(kind: str, tmp_path: Path) -> None:
    """Told at the need; the worker itself may need services."""
    files = {
        "tidegate.yaml": TOP,
        f"orders/{kind}.yaml": "run: x\nneeds: [backend]\n",
        "backend/service.yaml": "run: x\n",
        "frontend/service.yaml": "run: x\nneeds: [backend, orders]\n",
    }
    found = problems(tmp_path, files)
    assert [(one.file, one.line, one.column) for one in found] == [("frontend/service.yaml", 2, 18)]
    assert f"frontend needs orders, which is a {kind}: it has no address" in found[0].message


def test_a_folder_is_one_component(tmp_path: Path) -> None:
    """Two manifests in one folder are one problem, whichever they are; a manifest of Kubernetes does not count."""
    files = {
        "tidegate.yaml": TOP,
        "a/service.yaml": "run: x\n",
        "a/worker.yaml": "name: b\nrun: y\n",
        "c/service.yaml": "apiVersion: v1\nkind: Service\n",
        "c/worker.yaml": "run: z\n",
        "d/service.yaml": "run: x\nneeds: [b]\n",
    }
    found = problems(tmp_path, files)
    assert [str(one).splitlines()[0] for one in found] == ["a/worker.yaml:1:1: this folder has a service.yaml already"]
    (tmp_path / "a/worker.yaml").unlink()
    (tmp_path / "d/service.yaml").unlink()
    assert sorted(loaded(tmp_path, {}).components) == ["a", "c"]
