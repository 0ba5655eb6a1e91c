"""What the preflight promises: before anything is installed, a newcomer reads all that is missing and how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "preflight.sh"

GOOD_PYTHON = "exit 0"
OLD_PYTHON = 'case "$1" in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac'
# Debian without python3-venv: venv is there, ensurepip is not.
PYTHON_WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.11 ;; esac'
PYTHON_WITHOUT_SQLITE = 'case "$2" in *sqlite3*) exit 1 ;; esac'


class Machine:
    """A machine that has nothing but the programs put into it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.has("uname", 'case "$1" in -s) echo Linux ;; -m) echo x86_64 ;; esac')
        self.has("getconf", "echo glibc 2.36")
        self.has("id", "echo 1000")
        self.has("git")
        self.has("make")

    def has(self, program: str, body: str = "exit 0") -> None:
        """Put a program into it."""
        file = self.path / program
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def lacks(self, program: str) -> None:
        """Take a program away."""
        (self.path / program).unlink()

    def preflight(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the preflight as `make` does."""
        return subprocess.run(
            ["/bin/sh", SCRIPT],
            env={"PATH": str(self.path), **env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_that_has_everything_is_told_which_python_is_used(machine: Machine) -> None:
    """Nothing is printed but the Python."""
    machine.has("python3", GOOD_PYTHON)
    result = machine.preflight()
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{machine.path}/python3\n", "")


def test_a_newer_python_beside_an_old_python3_is_found(machine: Machine) -> None:
    """Debian 11 with a python3.12 of one's own needs no setting."""
    machine.has("python3", OLD_PYTHON)
    machine.has("python3.12", GOOD_PYTHON)
    result = machine.preflight()
    assert (result.returncode, result.stdout) == (0, f"{machine.path}/python3.12\n")


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("apt-get", "sudo apt-get install -y python3.11 python3.11-venv"),
        ("dnf", "sudo dnf install -y python3.12"),
        ("brew", "brew install python@3.12"),
    ],
)
def test_an_old_python_is_named_with_the_command_that_gets_a_new_one(
    machine: Machine, manager: str, command: str
) -> None:
    """On Debian and Ubuntu, Fedora and macOS."""
    machine.has("python3", OLD_PYTHON)
    machine.has(manager)
    result = machine.preflight()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "missing: Python 3.11 or newer; python3 is Python 3.9.2" in result.stderr
    assert command in result.stderr


def test_debian_without_python3_venv(machine: Machine) -> None:
    """The one package that a fresh Debian lacks is named, with the command."""
    machine.has("python3", PYTHON_WITHOUT_VENV)
    machine.has("apt-get")
    result = machine.preflight()
    assert result.returncode == 1
    assert "venv and ensurepip" in result.stderr
    assert "    sudo apt-get install -y python3-venv\n" in result.stderr


def test_a_second_python_needs_the_package_of_its_own_version(machine: Machine) -> None:
    """`python3-venv` would not help python3.11 where python3 is another one."""
    machine.has("python3", OLD_PYTHON)
    machine.has("python3.11", PYTHON_WITHOUT_VENV)
    machine.has("apt-get")
    assert "apt-get install -y python3.11-venv\n" in machine.preflight().stderr


def test_root_is_not_told_to_use_sudo(machine: Machine) -> None:
    """In a container there often is none."""
    machine.has("id", "echo 0")
    machine.has("apt-get")
    machine.has("python3", GOOD_PYTHON)
    machine.lacks("git")
    assert "    apt-get install -y git\n" in machine.preflight().stderr


def test_everything_that_is_missing_is_said_at_once(machine: Machine) -> None:
    """Nobody has to run it five times to learn five things."""
    machine.lacks("git")
    machine.lacks("make")
    machine.has("getconf", "exit 1")
    result = machine.preflight()
    assert result.returncode == 1
    for missing in ("git", "make", "glibc", "Python 3.11 or newer; there is no python3"):
        assert f"missing: {missing}" in result.stderr


def test_a_python_built_without_sqlite_is_found_out(machine: Machine) -> None:
    """It would fail much later and not say why."""
    machine.has("python3", PYTHON_WITHOUT_SQLITE)
    machine.has("dnf")
    result = machine.preflight()
    assert result.returncode == 1
    assert "missing: the sqlite3 module" in result.stderr


@pytest.mark.parametrize(
    ("system", "getconf", "message"),
    [
        ("Linux x86_64", "exit 1", "musl"),
        ("Linux x86_64", "echo glibc 2.28", "this is glibc 2.28"),
        ("Linux armv7l", "echo glibc 2.36", "this is Linux on armv7l"),
        ("Darwin x86_64", "exit 1", "this is Darwin on x86_64"),
        ("FreeBSD amd64", "exit 1", "this is FreeBSD on amd64"),
    ],
)
def test_a_platform_that_has_no_gateway_is_refused(machine: Machine, system: str, getconf: str, message: str) -> None:
    """Before the downloads, and with what to use instead."""
    name, architecture = system.split()
    machine.has("uname", f'case "$1" in -s) echo {name} ;; -m) echo {architecture} ;; esac')
    machine.has("getconf", getconf)
    machine.has("python3", GOOD_PYTHON)
    result = machine.preflight()
    assert result.returncode == 1
    assert message in result.stderr


@pytest.mark.parametrize(("machine_name", "getconf"), [("x86_64", "echo glibc 2.31"), ("aarch64", "echo glibc 2.41")])
def test_both_linux_architectures_are_welcome(machine: Machine, machine_name: str, getconf: str) -> None:
    """As the wheels of the gateway say."""
    machine.has("uname", f'case "$1" in -s) echo Linux ;; -m) echo {machine_name} ;; esac')
    machine.has("getconf", getconf)
    machine.has("python3", GOOD_PYTHON)
    assert machine.preflight().returncode == 0


def test_python_can_be_chosen(machine: Machine) -> None:
    """PYTHON wins over what lies in PATH, and has to be good enough."""
    machine.has("python3", GOOD_PYTHON)
    machine.has("mine", GOOD_PYTHON)
    machine.has("old", OLD_PYTHON)
    assert machine.preflight(PYTHON=f"{machine.path}/mine").stdout == f"{machine.path}/mine\n"
    refused = machine.preflight(PYTHON=f"{machine.path}/old")
    assert refused.returncode == 1
    assert "is not one" in refused.stderr


def test_this_very_machine_is_good_enough() -> None:
    """The tests run here, so the preflight must find nothing missing."""
    result = subprocess.run(["/bin/sh", SCRIPT], capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_what_can_be_done() -> None:
    """Every target that the README names is in the list, with a sentence."""
    env = {"PATH": os.environ["PATH"]}
    result = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory"], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    targets = {line.split()[0] for line in result.stdout.splitlines()[1:]}
    assert {"install", "demo", "demo-stop", "test", "lint", "bench", "clean"} <= targets
