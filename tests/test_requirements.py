"""No release with known holes may be installed, and constraints.txt has one version of each for every Python."""

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deepfake.version import PACKAGE

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = {"linux": "Linux", "darwin": "Darwin"}

WITHOUT_KNOWN_HOLES = {
    "aiohttp": "3.14.3",
    "gradio": "6.16",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "pillow": "12.3",
    "python-multipart": "0.0.31",
    "starlette": "1.0.1",
}


def read_lines(file) -> list[str]:
    lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def project(project_root) -> dict:
    return tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def requirements(project_root, project) -> list[Requirement]:
    """The core's and all extras', without extras that name other extras."""
    lines = read_lines(project_root / "requirements.txt")
    lines += [line for extra in project["optional-dependencies"].values() for line in extra]
    return [one for one in map(Requirement, lines) if one.name != PACKAGE]


@pytest.fixture(scope="module")
def pins(project_root) -> list[Requirement]:
    return [Requirement(line) for line in read_lines(project_root / "constraints.txt")]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def applies(one: Requirement, environment: dict[str, str]) -> bool:
    return one.marker is None or one.marker.evaluate(environment)


@pytest.mark.parametrize(("name", "version"), WITHOUT_KNOWN_HOLES.items())
def test_releases_with_known_holes_are_excluded(requirements, name, version):
    found = [one for one in requirements if one.name == name]
    assert found
    for one in found:
        (bound,) = [part.version for part in one.specifier if part.operator == ">="]
        assert Version(bound) >= Version(version)


def test_what_is_installed_meets_the_bounds(requirements):
    for one in requirements:
        if not applies(one, {}):
            continue
        try:
            installed = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        assert one.specifier.contains(installed, prereleases=True), one


def test_the_extra_of_the_tests_holds_all_others(project):
    extras = project["optional-dependencies"]
    (others,) = [one.extras for one in map(Requirement, extras["dev"]) if one.name == PACKAGE]
    named = {extra for entries in extras.values() for one in map(Requirement, entries) for extra in one.extras}
    assert others <= extras.keys() and named >= extras.keys() - {"dev"}


def test_pins_are_exact_and_come_from_any_index(pins):
    for pin in pins:
        (part,) = pin.specifier
        assert part.operator == "==" and Version(part.version).local is None and "*" not in part.version, pin
        assert pin.url is None and not pin.extras, pin


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_that_meets_it(requirements, pins, python, platform):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    environment |= {"sys_platform": platform, "platform_system": PLATFORMS[platform]}
    versions: dict[str, str] = {}
    for pin in pins:
        if applies(pin, environment):
            assert normalized(pin.name) not in versions, pin
            (part,) = pin.specifier
            versions[normalized(pin.name)] = part.version
    for one in requirements:
        if applies(one, environment):
            assert one.specifier.contains(versions[normalized(one.name)]), one


def test_supported_pythons_are_those_of_the_project(project):
    supported = Requirement(f"python{project['requires-python']}").specifier
    assert [f"3.{minor}" for minor in range(8, 20) if supported.contains(f"3.{minor}.0")] == list(PYTHONS)
