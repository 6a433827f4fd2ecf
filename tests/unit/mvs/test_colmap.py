"""The backend `colmap` without COLMAP: what it asks for, and what it does to the maps that COLMAP writes."""

import os
import subprocess
import sys

import numpy as np
import pycolmap
import pytest
from mvs_scene import CENTERS, HEIGHT, SKY, WIDTH, camera_at, write_workspace

from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.mvs import colmap
from nrw.mvs.colmap import patch_match
from nrw.mvs.workspace import Workspace, read_map, write_map


@pytest.fixture
def workspace(tmp_path):
    """A workspace of one black photo."""
    cameras = {"0000": camera_at(CENTERS[0])}
    write_workspace(tmp_path / "mvs", cameras, {"0000": np.zeros((HEIGHT, WIDTH), np.uint8)}, np.zeros((0, 3)))
    return Workspace(tmp_path / "mvs")


@pytest.fixture
def no_cuda_in_pycolmap(monkeypatch):
    monkeypatch.setattr(pycolmap, "has_cuda", False)


def test_colmap_backend_missing(workspace, monkeypatch, tmp_path, no_cuda_in_pycolmap):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="backend: torch"):
        patch_match(workspace.root, None)


def fake_colmap(folder, banner, body="sys.exit(1)"):
    path = folder / "colmap"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nif sys.argv[1] == 'help':\n    print({banner!r})\nelse:\n    {body}\n"
    )
    path.chmod(0o755)
    return path


def test_colmap_backend_without_cuda_or_failing(workspace, monkeypatch, tmp_path, no_cuda_in_pycolmap):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    executable = fake_colmap(tmp_path, "COLMAP 3.8 (Commit x without CUDA)")
    with pytest.raises(UserError, match=f"{executable} is a COLMAP without CUDA"):
        patch_match(workspace.root, None)
    with pytest.raises(UserError, match="without CUDA"):
        colmap.require_cuda()
    fake_colmap(tmp_path, "COLMAP 3.8 (Commit x with CUDA)")
    colmap.require_cuda()
    with pytest.raises(UserError, match="exit status 1"):
        patch_match(workspace.root, None)


def test_colmap_backend_masks_what_colmap_writes(workspace, tmp_path, monkeypatch, no_cuda_in_pycolmap):
    labels = np.ones((HEIGHT, WIDTH), np.uint8)
    labels[:50] = SKY
    write_image(tmp_path / "segmentation/0000.png", labels)
    run = subprocess.run

    def run_colmap(command, **options):
        if command[1] == "help":
            return subprocess.CompletedProcess(command, 0, stdout="(with CUDA)")
        assert command[1:3] == ["patch_match_stereo", "--workspace_path"] and command[3] == str(workspace.root)
        write_map(workspace.depth_map("0000", "geometric"), np.full((HEIGHT, WIDTH), 2.0))
        write_map(workspace.normal_map("0000", "geometric"), np.full((HEIGHT, WIDTH, 3), 0.5))
        return run([sys.executable, "-c", ""], check=False)

    monkeypatch.setattr(colmap.shutil, "which", lambda name: f"/somewhere/{name}")
    monkeypatch.setattr(colmap.subprocess, "run", run_colmap)
    patch_match(workspace.root, tmp_path / "segmentation", masked={SKY})
    depth = read_map(workspace.depth_map("0000", "geometric"))
    assert not depth[:50].any() and (depth[50:] == 2).all()
    assert not read_map(workspace.normal_map("0000", "geometric"))[:50].any()
