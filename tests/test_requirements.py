"""Lower bounds of what reads strangers' bytes: no release with known holes may be chosen."""

import importlib.metadata

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

WITHOUT_KNOWN_HOLES = {
    "aiohttp": "3.14.3",
    "gradio": "6.16",
    "h11": "0.16",
    "jinja2": "3.1.6",
    "pillow": "12.3",
    "python-multipart": "0.0.31",
    "starlette": "1.0.1",
}


def requirements(project_root) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for file in project_root.glob("requirements*.txt") for line in file.open()]
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize(("name", "version"), WITHOUT_KNOWN_HOLES.items())
def test_releases_with_known_holes_are_excluded(project_root, name, version):
    found = [one for one in requirements(project_root) if one.name == name]
    assert found
    for one in found:
        (bound,) = [part.version for part in one.specifier if part.operator == ">="]
        assert Version(bound) >= Version(version)


def test_what_is_installed_meets_the_bounds(project_root):
    for one in requirements(project_root):
        try:
            installed = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        assert one.specifier.contains(installed, prereleases=True), one
