"""What `pip install` makes of the package, outside this folder: schema, presets and templates come along."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = """
import sys
from pathlib import Path
from finished_scene import finish_scene
from nrw.report.page import write_report
from nrw.scene.files import SceneFiles
scene, config = finish_scene(Path(sys.argv[1]))
write_report(SceneFiles(scene), config, scene / "report.html")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of an environment that has nrw from a wheel, and its dependencies from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "nrw", source / "nrw", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    venv.create(folder / "venv", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": folder / "venv", "platbase": folder / "venv"}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", *folder.glob("*.whl")], check=True)
    return folder / "venv" / "bin"


def printed(command: list, folder: Path, **environment: str) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PATH": "", **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_command_line_is_there(installed, tmp_path):
    assert "interpolate" in printed([installed / "nrw", "--help"], tmp_path)


def test_a_configuration_is_resolved_with_every_preset(installed, tmp_path):
    code = "import nrw; from nrw.config.resolve import resolve; print(nrw.__file__)\n"
    code += "for name in ('draft', 'standard', 'paper'): print(resolve({'photos': 'p', 'preset': name})['device'])"
    file, *devices = printed([installed / "python", "-c", code], tmp_path).split()
    assert Path(file).is_relative_to(installed.parent)
    assert devices == ["cpu", "cuda", "cuda"]


def test_a_report_is_written(installed, tmp_path):
    printed([installed / "python", "-c", REPORT, tmp_path], tmp_path, PYTHONPATH=str(ROOT / "tests"))
    assert "<html" in (tmp_path / "results" / "place" / "report.html").read_text(encoding="utf-8")
