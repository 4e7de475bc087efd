import sys

import pytest

from deepfake.storage.registry import Registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `added` with an empty module `names`, where a registry of the package stands, and modules to fill."""
    folder = tmp_path / "added"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "added"]:
        del sys.modules[name]


def write(folder, module: str, *names: str) -> None:
    """A module that registers each name, as its length, in the registry below."""
    lines = [f"KINDS.register({name!r})({len(name)})" for name in names]
    head = "from tests.deepfake.storage.test_registry import KINDS"
    (folder / f"{module}.py").write_text("\n".join([head, *lines]))


KINDS: Registry[int] = Registry("kind")


@pytest.fixture(params=[True, False], ids=["by_module", "all"])
def by_module(request):
    return request.param


def registry_of(package, monkeypatch, by_module: bool) -> Registry[int]:
    registry: Registry[int] = Registry("kind", "added", by_module)
    monkeypatch.setattr(sys.modules[__name__], "KINDS", registry)
    return registry


def test_modules_of_the_package_register_themselves(package, monkeypatch, by_module):
    for name in ("beta", "alpha"):
        write(package, name, name)
    registry = registry_of(package, monkeypatch, by_module)
    assert registry.names() == list(registry) == ["alpha", "beta"] and len(registry) == 2
    assert "alpha" in registry and registry["alpha"] == 5 and dict(registry) == {"alpha": 5, "beta": 4}
    with pytest.raises(ValueError, match="kind 'gamma' unknown; expected one of alpha, beta"):
        registry["gamma"]
    with pytest.raises(KeyError, match="kind 'beta' is registered twice"):
        registry.register("beta")(1)


def test_one_module_may_register_several(package, monkeypatch):
    write(package, "family", "one", "three")
    registry = registry_of(package, monkeypatch, by_module=False)
    assert registry["three"] == 5 and list(registry) == ["one", "three"]


def test_names_by_module_cost_no_import(package, monkeypatch):
    (package / "heavy.py").write_text("raise ImportError('heavy was imported')")
    write(package, "light", "light")
    registry = registry_of(package, monkeypatch, by_module=True)
    assert registry.names() == ["heavy", "light"] and registry["light"] == 5
    with pytest.raises(ImportError, match="heavy was imported"):
        registry["heavy"]
