"""The benchmark of a GPU: what it is fed with, and that one part's failure costs no other."""

import json

import numpy as np
import pytest
import torch
from mvs_scene import CENTERS, camera_at, noise_texture, render, surface_points, write_workspace

from benchmarks import gpu, gpu_folder
from nrw.geometry import cameras
from nrw.geometry.cameras import read_cameras
from nrw.mvs import sources
from nrw.mvs.sources import read_sparse


def test_a_model_cut_to_some_photos_is_read_as_pycolmap_reads_the_whole(tmp_path, monkeypatch):
    placed = {f"{number:04d}": camera_at(center) for number, center in enumerate(CENTERS)}
    pictures = {photo_id: render(camera, noise_texture(), factor=1) for photo_id, camera in placed.items()}
    write_workspace(tmp_path / "mvs", placed, pictures, surface_points(camera_at((0, 0, -0.2))))
    whole_cameras = read_cameras(tmp_path / "mvs" / "sparse")
    whole = read_sparse(tmp_path / "mvs" / "sparse", whole_cameras)
    ids = ["0001", "0002", "0004"]
    np.savez(tmp_path / gpu_folder.MODEL, **gpu_folder.cut_model(whole, ids))

    for module in (cameras, sources):
        monkeypatch.setattr(module.pycolmap, "Reconstruction", gpu_folder.Reconstruction)
        monkeypatch.setattr(module.pycolmap.CameraModelId, "PINHOLE", gpu_folder.PINHOLE)
    cut_cameras = read_cameras(tmp_path)
    assert list(cut_cameras) == ids
    for photo_id, camera in cut_cameras.items():
        np.testing.assert_array_equal(camera.cam_from_world, whole_cameras[photo_id].cam_from_world)
        assert (camera.width, camera.fx, camera.cy) == tuple(
            getattr(whole_cameras[photo_id], name) for name in ("width", "fx", "cy")
        )
    cut = read_sparse(tmp_path, cut_cameras)
    kept = whole.visible[:, [whole.ids.index(photo_id) for photo_id in ids]].toarray()
    shared = kept.sum(axis=1) >= 2
    np.testing.assert_array_equal(cut.visible.toarray(), kept[shared])
    np.testing.assert_array_equal(cut.points, whole.points[shared])


@pytest.mark.parametrize(
    ("spans", "length"), [([], 0), ([(0, 2), (5, 6)], 3), ([(4, 6), (0, 5)], 6), ([(0, 9), (2, 3)], 9)]
)
def test_the_time_that_a_gpu_is_busy_counts_overlaps_once(spans, length):
    assert gpu.union(spans) == length


def test_losses_may_differ_by_rounding(tmp_path):
    run = gpu.Run(tmp_path, tmp_path, torch.device("cpu"), True)
    run.references = {f"stage: losses after {number} steps": np.array([1.0, 0.2]) for number in (0, 2)}
    for number, l1 in ((0, 0.201), (0, 0.21), (1, 9.0), (2, 0.21), (2, 0.23)):
        gpu.compare_losses(run, "stage", number, {"total": 1.0, "l1": l1})
    assert [row.passed for row in run.rows] == [True, False, True, False]


def test_a_part_that_fails_is_a_row_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def broken(run):
        raise RuntimeError("no such kernel")

    def compared(run):
        run.agrees("depths", np.array([1.0, 2.0]), np.isclose)
        run.agrees("colors", np.array([1.0, 2.0]), np.isclose)

    monkeypatch.setattr(gpu, "PARTS", {"broken": broken, "compared": compared})
    run = gpu.Run(tmp_path, tmp_path / "out", torch.device("cpu"), True)
    run.references = {"depths": np.array([1.0, 2.0]), "colors": np.array([1.0, 3.0])}
    assert not gpu.measure(run, ["broken", "compared"], minutes=1)
    rows = {row["name"]: row["passed"] for row in json.loads((tmp_path / "out" / "gpu.json").read_text())}
    assert rows["failed: RuntimeError: no such kernel"] is False
    assert rows["depths as on the CPU"] is True and rows["colors as on the CPU"] is False
    assert "1 passed, 2 failed" in capsys.readouterr().out
