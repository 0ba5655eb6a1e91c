"""Every mistake in a manifest is told with its place, what is wrong, and what was probably meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.manifest.projects import TOP, loaded, problems, write
from tidegate.errors import ProjectNotFound
from tidegate.manifest import find_root

SERVICE_MISTAKES: dict[str, tuple[str | bytes, int, int, str, str]] = {
    "unknown key": ("run: x\nreplica: 2\n", 2, 1, "unknown key 'replica'", "Did you mean replicas?"),
    "missing run": ("team: acme\n", 1, 1, "'run' is missing", "Write the command"),
    "empty run": ("run: ''\n", 1, 6, "'run' must not be empty", ""),
    "run without value": ("run:\n", 1, 5, "'run' must be a text, not nothing", ""),
    "run is a list": ("run: [a, b]\n", 1, 6, "'run' must be a text, not a list", ""),
    "yes is a word": (
        "run: x\nexpose: yes\n",
        2,
        9,
        "'expose' must be true or false, not 'yes'",
        "only true and false",
    ),
    "replicas is text": ("run: x\nreplicas: two\n", 2, 11, "'replicas' must be a whole number", "Write a number"),
    "replicas zero": ("run: x\nreplicas: 0\n", 2, 11, "must be at least 1", "leave it out"),
    "replicas environment": ("run: x\nreplicas: {dve: 2}\n", 2, 12, "unknown environment 'dve'", "Did you mean dev?"),
    "expose environment": ("run: x\nexpose: {dve: true}\n", 2, 10, "unknown environment 'dve'", "Did you mean dev?"),
    "env environment": ("run: x\nenv: {A: {dve: b}}\n", 2, 11, "unknown environment 'dve'", "Did you mean dev?"),
    "env without value": ("run: x\nenv:\n  A:\n", 3, 5, "'A' has no value", 'Write ""'),
    "env reserved": ("run: x\nenv: {PORT: 1}\n", 2, 7, "'PORT' cannot be set", "Remove it"),
    "env of tidegate": ("run: x\nenv: {TIDEGATE_X: 1}\n", 2, 7, "'TIDEGATE_X' cannot be set", ""),
    "env name": ("run: x\nenv: {A-B: 1}\n", 2, 7, "cannot be the name of an environment variable", ""),
    "env secret": ("run: x\nenv: {A: {secret: vault:x}}\n", 2, 19, "no reference to a secret", '"env:NAME"'),
    "unknown team": ("run: x\nteam: acmee\n", 2, 7, "unknown team 'acmee'", "Did you mean acme?"),
    "unknown need": (
        "run: x\nneeds: [b, bakend]\n",
        2,
        12,
        "unknown component or resource 'bakend'",
        "Did you mean backend?",
    ),
    "need twice": ("run: x\nneeds: [backend, backend]\n", 2, 18, "stands twice", "Remove one"),
    "needs is text": ("run: x\nneeds: backend\n", 2, 8, "'needs' must be a list", "needs: [backend]"),
    "needs itself": ("run: x\nneeds: [b]\n", 2, 9, "b → b", "could start first"),
    "health": ("run: x\nhealth: healthz\n", 2, 9, "'health' cannot be 'healthz'", "/healthz"),
    "health two kinds": ("run: x\nhealth: {http: /a, command: b}\n", 2, 20, "both http and command", "Keep one"),
    "health path": ("run: x\nhealth: {http: a}\n", 2, 16, "must be a path", "Write http: /a."),
    "health key": ("run: x\nhealth: {http: /a, timout: 1s}\n", 2, 20, "unknown key 'timout'", "timeout"),
    "duration": ("run: x\ngrace: soon\n", 2, 8, "'grace' must be a time, not 'soon'", "10s"),
    "duration zero": ("run: x\nhealth: {interval: 0s}\n", 2, 20, "must be longer than 0", ""),
    "port": ("run: x\nport: 99999\n", 2, 7, "from 1 to 65535", ""),
    "port and replicas": ("run: x\nport: 80\nreplicas: 2\n", 2, 1, "fixed port 80 and has 2 replicas in dev", "$PORT"),
    "name": ("run: x\nname: Big_One\n", 2, 7, "cannot be the name of a component", "a-z"),
    "settings folder": ("run: x\nsettings: conf\n", 2, 1, "there is no folder b/conf", "Make it"),
    "settings outside": ("run: x\nsettings: ../../x\n", 2, 11, "leads out of the project", ""),
    "sources missing": ("run: x\nsources: [../lib]\n", 2, 11, "there is no lib", ""),
    "duplicate key": ("run: x\nrun: y\n", 2, 1, "a second time", "1:1"),
    "tab": ("run: x\nenv:\n\tA: b\n", 3, 1, "a tab cannot indent YAML", "spaces"),
    "not UTF-8": (b"run: x\nbuild: \xff\n", 2, 8, "not valid UTF-8", "UTF-8"),
    "empty": ("", 1, 1, "the file is empty", "tidegate init"),
    "only comments": ("# soon\n", 1, 1, "the file is empty", ""),
    "list": ("- run: x\n", 1, 1, "holds a list", "key: value"),
    "two documents": ("run: x\n---\nrun: y\n", 2, 1, "a second document", ""),
    "control character": ("run: x\nbuild: a\x07\n", 2, 9, "control character", ""),
    "undefined alias": ("run: *x\n", 1, 6, "marked &x", ""),
    "endless alias": ("run: x\nneeds: &n [*n]\n", 2, 12, "marked &n", "finished node"),
    "nesting": ("run: " + "[" * 5000 + "]" * 5000, 1, 37, "nested more than 32 levels", ""),
    "broken YAML": ("run: a: b\n", 1, 7, "not YAML", "quotes"),
    "complex key": ("run: x\n? [a]\n: b\n", 2, 3, "a key is a list", ""),
}


@pytest.mark.parametrize("case", SERVICE_MISTAKES)
def test_a_mistake_in_a_service_is_one_problem_at_its_place(case: str, tmp_path: Path) -> None:
    """One mistake, one problem, at the line and column where it stands, with what to do."""
    content, line, column, message, hint = SERVICE_MISTAKES[case]
    files: dict[str, str | bytes] = {"tidegate.yaml": TOP, "b/service.yaml": content}
    if case != "unknown team":
        files["backend/service.yaml"] = "run: y\n"
    if case == "unknown need":
        files["b/service.yaml"] = content.replace("b, ", "c, ") if isinstance(content, str) else content
        files["c/service.yaml"] = "run: y\n"
    found = problems(tmp_path, files)
    assert [(one.file, one.line, one.column) for one in found] == [("b/service.yaml", line, column)], found
    assert message in found[0].message
    assert hint in found[0].hint


TOP_MISTAKES = {
    "unknown key": ("gates: {}\n", "unknown key 'gates'", ""),
    "environment key": ("environments:\n  dev: {afer: x}\n", "unknown key 'afer' in environment dev", "after"),
    "no environments": ("", "'environments' is missing", "environments: {dev: {}}"),
    "empty environments": ("environments: {}\n", "must not be empty", ""),
    "environments is a list": ("environments: [dev]\n", "must be a table of keys, not a list", ""),
    "after unknown": ("environments:\n  dev: {}\n  prod: {after: dve}\n", "unknown environment 'dve'", "dev"),
    "after cycle": ("environments:\n  a: {after: b}\n  b: {after: a}\n", "a → b → a", "take one"),
    "after itself": ("environments:\n  a: {after: a}\n", "a → a", ""),
    "like unknown": ("environments:\n  dev: {}\n  two: {like: dve}\n", "unknown environment 'dve'", "dev"),
    "like cycle": ("environments:\n  a: {like: b}\n  b: {like: c}\n  c: {like: a}\n", "a → b → c → a", ""),
    "component unknown": ("environments:\n  dev: {components: [fronted]}\n", "unknown component 'fronted'", "frontend"),
    "team unknown": ("environments:\n  dev: {teams: [acne]}\n", "unknown team 'acne'", "Did you mean acme?"),
    "isolation unknown": ("environments:\n  dev: {isolation: strong}\n", "cannot be 'strong'", "logical"),
    "isolation": ("environments:\n  dev: {isolation: network}\n", "the target local cannot enforce", "logical"),
    "target": ("environments:\n  dev: {target: kubernets}\n", "'target' cannot be 'kubernets'", "mean kubernetes?"),
    "observe": ("environments:\n  dev: {observe: 500ms}\n", "whole seconds", "5s"),
    "max_errors": ("environments:\n  dev: {max_errors: 200%}\n", "must be a percentage", "0.5%"),
    "environment name": ("environments:\n  Dev: {}\n", "cannot be the name of an environment", "a-z"),
    "reserved name": ("environments:\n  default: {}\n", "cannot be called 'default'", ""),
    "builds": ("environments: {dev: {}}\nbuilds: {pas: [A]}\n", "unknown key 'pas' in builds", "pass"),
    "variable of a need": ("environments: {dev: {env: {BACKEND_URL: x}}}\n", "for frontend it holds", "Remove"),
}


@pytest.mark.parametrize("case", TOP_MISTAKES)
def test_a_mistake_in_tidegate_yaml_is_one_problem(case: str, tmp_path: Path) -> None:
    """One mistake in the organization's file is one problem, without noise from the components."""
    content, message, hint = TOP_MISTAKES[case]
    if case == "unknown key":
        content += "environments: {dev: {}}\n"
    found = problems(
        tmp_path,
        {
            "tidegate.yaml": f"organization: acme\n{content}",
            "frontend/service.yaml": "run: x\nneeds: [backend]\nreplicas: {default: 1}\n",
            "backend/service.yaml": "run: x\n",
        },
    )
    assert [one.file for one in found] == ["tidegate.yaml"], found
    assert message in found[0].message
    assert hint in found[0].hint


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """One fault hides no other, and none causes others: eight mistakes in four files, eight problems, in order."""
    found = problems(
        tmp_path,
        {
            "tidegate.yaml": "organization: acme\nteams: {web: {}, shop: {}}\n"
            "environments:\n  dev: {colour: 1}\n  x: {like: dve}\n",
            "a/service.yaml": "team: web\nrun: x\nneeds: [broken, nothing]\ngrace: soon\nreplicas: {dve: 1}\n",
            "broken/service.yaml": "run: [\n",
            "c/service.yaml": "run: x\n",
            "d/service.yaml": "name: a\nteam: shop\nrun: x\n",
        },
    )
    assert [(one.file, one.line) for one in found] == [
        ("a/service.yaml", 3),
        ("a/service.yaml", 4),
        ("a/service.yaml", 5),
        ("broken/service.yaml", 2),
        ("c/service.yaml", 1),
        ("d/service.yaml", 1),
        ("tidegate.yaml", 4),
        ("tidegate.yaml", 5),
    ]
    assert "a/service.yaml:1:1" in found[5].hint, "both places of a double name are told"


def test_a_circle_of_needs_is_told_as_the_path(tmp_path: Path) -> None:
    """The circle is shown once, as one would walk it."""
    found = problems(
        tmp_path,
        {
            "tidegate.yaml": TOP,
            "a/service.yaml": "run: x\nneeds: [b]\n",
            "b/service.yaml": "run: x\nneeds: [c]\n",
            "c/service.yaml": "run: x\nneeds: [a]\n",
        },
    )
    assert [one.message for one in found] == ["needs go round in a circle: a → b → c → a"]


def test_a_need_that_an_environment_lacks_is_told_once_with_all_environments(tmp_path: Path) -> None:
    """The problem stands at the need and names every environment that lacks it."""
    found = problems(
        tmp_path,
        {
            "tidegate.yaml": TOP + "  pay: {components: [a]}\n  pay-two: {like: pay}\n",
            "a/service.yaml": "run: x\nneeds: [b]\n",
            "b/service.yaml": "run: x\n",
        },
    )
    assert [one.message for one in found] == ["a needs b, which is not in pay, pay-two"]
    assert (found[0].file, found[0].line, found[0].column) == ("a/service.yaml", 2, 9)


def test_a_fixed_port_is_for_one_instance_of_one_environment(tmp_path: Path) -> None:
    """Two environments of one machine, or two components, cannot share a port; the fix is told."""
    found = problems(
        tmp_path,
        {
            "tidegate.yaml": TOP + "  prod: {}\n",
            "a/service.yaml": "run: x\nport: 8080\n",
            "b/service.yaml": "run: x\nport: 8080\n",
        },
    )
    assert [one.file for one in found] == ["a/service.yaml", "b/service.yaml", "b/service.yaml"]
    assert "in several environments of this machine: dev, prod" in found[0].message
    assert all("$PORT" in one.hint for one in found)


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [("{\n 'a': 1}", (2, 2), "not JSON"), ("[]", (1, 1), "must be a JSON object"), ('{"a": NaN}', (1, 1), "NaN")],
)
def test_settings_are_json_objects(content: str, place: tuple[int, int], message: str, tmp_path: Path) -> None:
    """A settings file that is not is told with its own place."""
    found = problems(
        tmp_path,
        {"tidegate.yaml": TOP, "a/service.yaml": "run: x\nsettings: s\n", "a/s/dev.json": content},
    )
    assert [(one.file, one.line, one.column) for one in found] == [("a/s/dev.json", *place)]
    assert message in found[0].message


def test_settings_are_there_for_every_environment(tmp_path: Path) -> None:
    """What is missing is named; default.json would do."""
    files: dict[str, str | bytes] = {
        "tidegate.yaml": TOP + "  prod: {}\n",
        "a/service.yaml": "run: x\nsettings: s/\n",
        "a/s/dev.json": "{}",
    }
    found = problems(tmp_path, files)
    assert [one.message for one in found] == ["settings for prod are missing in a/s"]
    assert "prod.json, or default.json" in found[0].hint
    component = loaded(tmp_path, {"a/s/default.json": "{}"}).components["a"]
    assert component.settings_file("prod") == tmp_path / "a/s/default.json"
    assert component.settings_file("dev") == tmp_path / "a/s/dev.json"


@pytest.mark.parametrize("kind", ["module", "library"])
def test_kinds_of_later_versions_are_told_as_such(kind: str, tmp_path: Path) -> None:
    """A kind that this version lacks is one clear problem, and needing it is not another."""
    found = problems(
        tmp_path,
        {"tidegate.yaml": TOP, f"a/{kind}.yaml": "what: ever\n", "b/service.yaml": "run: x\nneeds: [a]\n"},
    )
    assert [one.message for one in found] == [f"kind {kind} is not supported by this version"]


def test_without_a_project_the_hint_is_init(tmp_path: Path) -> None:
    """Who stands nowhere is told how to begin."""
    with pytest.raises(ProjectNotFound) as caught:
        find_root(tmp_path)
    assert "tidegate init" in caught.value.hint
    write(tmp_path, {"tidegate.yaml": TOP, "deep/er/x": ""})
    assert find_root(tmp_path / "deep" / "er") == tmp_path.resolve()


def test_a_folder_that_cannot_be_written_down_is_told(tmp_path: Path) -> None:
    """Before anything is kept in it."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    with pytest.raises(ProjectNotFound, match="cannot work in this folder"):
        find_root(folder)
