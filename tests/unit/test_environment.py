"""pip users and conda users get the same packages."""

import tomllib
from pathlib import Path

import yaml

from nrw.sfm.learned_weights import PACKAGES

ROOT = Path(__file__).resolve().parents[2]


def test_environment_yml_has_the_pins_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    assert [package for package in pip if not package.startswith("--")] == project["dependencies"]


def test_the_first_torch_installed_is_the_pinned_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    torch = next(package for package in project["dependencies"] if package.startswith("torch=="))
    assert f"install --quiet --disable-pip-version-check {torch}\n" in (ROOT / "Makefile").read_text()


def test_the_packages_of_the_rescue_are_pinned_once():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["rescue"] == PACKAGES.split()
    assert f"install --quiet --disable-pip-version-check --no-deps {PACKAGES}\n" in (ROOT / "Makefile").read_text()
    assert f"`pip install --no-deps {PACKAGES}`" in (ROOT / "README.md").read_text()
