"""The example works by itself: its unit tests pass, and both services run without Tidegate as its README says."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

STOREFRONT = Path(__file__).parents[2] / "examples" / "storefront"
SERVICES = STOREFRONT / "services"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def run_command(service: str) -> str:
    """The `run:` of its manifest, with the Python of these tests for the one of its release."""
    manifest = yaml.safe_load((SERVICES / service / "service.yaml").read_text(encoding="utf-8"))
    command: str = manifest["run"]
    assert command.startswith(".venv/bin/python ")
    return f"exec {sys.executable} {command.removeprefix('.venv/bin/python ')}"


@contextmanager
def running(service: str, folder: Path, **env: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service by its own command, until it answers; ended by SIGTERM. Gives its URL and process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1", **env}
    log = folder / f"{service}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", run_command(service)],
            cwd=SERVICES / service if service == "frontend" else folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)  # between two looks
        yield url, process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.fixture
def backend_folder(tmp_path: Path) -> Path:
    """The backend as its release holds it: with its catalogue made by the command that its README names."""
    folder = tmp_path / "backend"
    shutil.copytree(SERVICES / "backend", folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", "*.sqlite"))
    subprocess.run(
        [sys.executable, "-m", "backend.catalogue", "catalogue.json", "catalogue.sqlite"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=30,
    )
    return folder


@pytest.mark.parametrize("service", ["backend", "frontend", "orders"])
def test_the_unit_tests_of_each_service_pass(service: str) -> None:
    """With test doubles and no network, warnings as errors, as a team of its own would run them."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", ".", "tests"],
        cwd=SERVICES / service,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_both_start_alone_and_end_when_told(backend_folder: Path) -> None:
    """On any port, without Tidegate and without settings; the visitor sees products, and SIGTERM ends them cleanly."""
    with running("backend", backend_folder) as (backend_url, backend):
        with (
            running("frontend", backend_folder, BACKEND_URL=backend_url) as (url, frontend),
            httpx.Client(base_url=url, trust_env=False) as visitor,
        ):
            page = visitor.get("/", headers={"traceparent": TRACE})
            assert page.status_code == 200
            assert "Harbour compass" in page.text
            assert "Storefront – on its own" in page.text
            assert page.headers["x-release"] == "unreleased"
            assert "Tide chart" in visitor.get("/", params={"q": "paper that floats"}).text
            assert visitor.get("/product/lantern").status_code == 200
            assert visitor.get("/product/anchor").status_code == 404
        assert frontend.returncode in {0, -signal.SIGTERM}
    assert backend.returncode in {0, -signal.SIGTERM}


def test_each_environment_answers_with_its_own_text(backend_folder: Path) -> None:
    """Settings come from the file that TIDEGATE_SETTINGS names, identity from what Tidegate gives."""
    given = {"TIDEGATE_RELEASE": "sha256:1234567890abcdef", "TIDEGATE_ENVIRONMENT": "stage", "TIDEGATE_INSTANCE": "1"}
    backend_settings = str(SERVICES / "backend" / "settings" / "stage.json")
    frontend_settings = str(SERVICES / "frontend" / "settings" / "stage.json")
    with (
        running("backend", backend_folder, TIDEGATE_SETTINGS=backend_settings, **given) as (backend_url, _),
        running("frontend", backend_folder, BACKEND_URL=backend_url, TIDEGATE_SETTINGS=frontend_settings, **given) as (
            url,
            _,
        ),
    ):
        page = httpx.get(url, trust_env=False)
        assert json.loads(Path(frontend_settings).read_text())["banner"] in page.text
        assert json.loads(Path(backend_settings).read_text())["notice"] in page.text
        assert page.headers["x-release"] == "sha256:1234567890abcdef"
        assert httpx.get(f"{url}/version", trust_env=False).json() == {
            "release": "sha256:1234567890abcdef",
            "environment": "stage",
            "instance": "1",
        }


def test_a_backend_that_hangs_or_is_gone_is_a_proper_page(backend_folder: Path) -> None:
    """A real one, stopped in its tracks: 504 within the visitor's patience; ended: 502; there again: 200."""
    with (
        running("backend", backend_folder) as (backend_url, backend),
        running("frontend", backend_folder, BACKEND_URL=backend_url) as (url, _),
    ):
        assert httpx.get(url, trust_env=False).status_code == 200
        backend.send_signal(signal.SIGSTOP)
        slow = httpx.get(url, trust_env=False, timeout=10)
        assert slow.status_code == 504
        assert "takes too long" in slow.text
        backend.send_signal(signal.SIGCONT)
        assert httpx.get(url, trust_env=False).status_code == 200
        backend.kill()
        backend.wait()
        down = httpx.get(url, trust_env=False)
        assert down.status_code == 502
        assert "does not answer" in down.text


def test_verify_finds_a_catalogue_that_lost_a_product(backend_folder: Path) -> None:
    """The check before the switch passes for the good catalogue, and says what is wrong with a bad one."""

    def verify(url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "verify.py"],
            cwd=backend_folder,
            env={"PATH": os.environ["PATH"], "TIDEGATE_URL": url},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    with running("backend", backend_folder) as (url, _):
        good = verify(url)
        assert (good.returncode, good.stdout) == (0, "Harbour compass: 49.00 EUR\n")

    catalogue = backend_folder / "catalogue.json"
    text = (SERVICES / "backend" / "catalogue.json").read_text(encoding="utf-8")
    catalogue.write_text(text.replace('"id": "compass"', '"id": "harbour-compass"'), encoding="utf-8")
    command = [sys.executable, "-m", "backend.catalogue", "catalogue.json", "catalogue.sqlite"]
    subprocess.run(command, cwd=backend_folder, check=True, capture_output=True, timeout=30)
    with running("backend", backend_folder) as (url, _):
        bad = verify(url)
        assert bad.returncode == 1
        assert "the catalogue does not give its compass" in bad.stderr
        assert "404" in bad.stderr
        assert "Traceback" not in bad.stderr


def test_the_locked_requirements_are_hashed_and_name_no_index() -> None:
    """A build takes exactly what was locked, from whatever package index is set up here."""
    for service in ("frontend", "backend", "orders", "orders-worker"):
        text = (SERVICES / service / "requirements.txt").read_text(encoding="utf-8")
        packages = [line for line in text.splitlines() if "==" in line]
        assert packages
        assert all(line.endswith("\\") for line in packages)
        assert "://" not in text


def test_where_postgresql_is_missing_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    """Whoever brings orders up reads it with the failure, and nothing is left of the try."""
    manifest = yaml.safe_load((STOREFRONT / "tidegate.yaml").read_text(encoding="utf-8"))
    command = manifest["resources"]["orders-db"]["orders-dev"]["run"]
    programs, data = tmp_path / "bin", tmp_path / "data"
    programs.mkdir()
    data.mkdir()
    for name in ("ls", "sort", "tail", "id"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    result = subprocess.run(
        ["/bin/sh", "-c", command.replace("/usr/lib/postgresql", str(tmp_path / "nowhere"))],
        env={"PATH": str(programs), "DATA": str(data), "PORT": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == ""
    assert result.stdout.startswith("PostgreSQL is not installed here. Install it: apt-get install postgresql")
    assert list(data.iterdir()) == []
