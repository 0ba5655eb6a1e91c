"""The kubeconfig is read as kubectl reads it, and what is wrong with it is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tidegate.drivers.kubernetes.kubeconfig import read_access
from tidegate.errors import TargetError

Json = dict[str, Any]


def write(path: Path, *names: str, current: str = "", user: Json | None = None, cluster: Json | None = None) -> Path:
    """A kubeconfig with a context, cluster and user of each name."""
    path.parent.mkdir(exist_ok=True)
    config = {
        "current-context": current,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}.example/", **(cluster or {})}} for name in names
        ],
        "users": [{"name": name, "user": user or {"token": "secret"}} for name in names],
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("KUBE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_context_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "kind-shop", "prod-eu")
    with pytest.raises(TargetError) as caught:
        read_access("kind-shp", path)
    assert "has kind-shop, prod-eu" in caught.value.detail
    assert caught.value.hint == "Did you mean kind-shop?"


def test_without_a_kubeconfig_it_is_said_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot find a kubeconfig") as caught:
        read_access("x")
    assert str(tmp_path / "home/.kube/config") in caught.value.detail


def test_without_a_context_the_current_one_is_taken_and_none_is_an_error(tmp_path: Path) -> None:
    assert read_access("", write(tmp_path / "a", "one", "two", current="two")).context == "two"
    with pytest.raises(TargetError, match="cannot choose a cluster"):
        read_access("", write(tmp_path / "b", "one"))


def test_files_of_kubeconfig_are_merged_and_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "a" / "config", "one", current="one", cluster={"certificate-authority": "ca.pem"})
    second = write(tmp_path / "b" / "config", "one", "two", current="two")
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(first), str(tmp_path / "nowhere"), str(second)]))
    assert read_access("").context == "one"
    assert read_access("two").server == "https://two.example"
    assert read_access("one").config.cluster.certificate_auth == str(tmp_path / "a" / "ca.pem")


def test_a_damaged_kubeconfig_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config"
    for text in ("{", "contexts: 5", "contexts: [{}]"):
        path.write_text(text)
        with pytest.raises(TargetError, match="config is damaged"):
            read_access("x", path)
    config = json.loads(write(path, "one").read_text())
    path.write_text(json.dumps(config | {"clusters": []}))
    with pytest.raises(TargetError, match="names the cluster one"):
        read_access("one", path)


def test_a_program_beside_the_kubeconfig_is_found_and_one_in_the_path_stays(tmp_path: Path) -> None:
    for command, wanted in (("./sign-in", str(tmp_path / "sign-in")), ("aws", "aws")):
        plugin = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command}}
        access = read_access("one", write(tmp_path / "config", "one", user=plugin))
        assert access.plugin is not None
        assert Path(access.plugin["command"]) == Path(wanted)


def test_what_kubernetes_gave_up_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "config", "one", user={"auth-provider": {"name": "gcp"}})
    with pytest.raises(TargetError, match="auth-provider"):
        read_access("one", path)


def test_proxies_are_used_as_kubectl_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,.inside.example")
    for server, proxy in (
        ("https://outside.example", "http://proxy.example:3128"),
        ("https://api.inside.example", ""),
        ("https://10.1.2.3:6443", ""),
        ("https://11.1.2.3:6443", "http://proxy.example:3128"),
        ("https://127.0.0.1:6443", ""),
    ):
        assert read_access("one", write(tmp_path / "config", "one", cluster={"server": server})).proxy == proxy
    named = write(tmp_path / "config", "one", cluster={"server": "https://10.1.2.3", "proxy-url": "socks5://p.example"})
    assert read_access("one", named).proxy == "socks5://p.example"


def test_secrets_of_the_kubeconfig_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(read_access("one", write(tmp_path / "config", "one")))
