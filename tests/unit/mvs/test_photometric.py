"""Photometric depth of rendered planes, resuming, and bad input."""

import numpy as np
import pytest
import torch
from mvs_scene import (
    FOCAL,
    HEIGHT,
    SKY,
    WIDTH,
    camera_at,
    estimate,
    noise_texture,
    read_depth,
    render,
    surface_points,
    wall,
    write_workspace,
)

from nrw.core.errors import UserError
from nrw.core.io import read_json, write_image
from nrw.geometry.cameras import Camera
from nrw.mvs.photometric import photometric_depths
from nrw.mvs.workspace import Workspace, read_map


def errors_of(root, photo_id, camera, depth_of):
    """Share of the photo's inner pixels with a depth, and these depths' relative errors."""
    depth = read_map(Workspace(root).depth_map(photo_id, "photometric"))[8:-8, 8:-8]
    truth = depth_of(camera)[8:-8, 8:-8]
    return np.mean(depth > 0), np.abs(depth / truth - 1)[depth > 0]


def test_a_planar_scene_from_cameras_in_a_line_and_photos_of_different_sizes(tmp_path):
    """Nothing but one wall; all cameras on one line; landscape, portrait, and a photo of half the resolution."""
    texture = noise_texture(3)
    cameras = {f"{number:04d}": camera_at((0.3 * number - 0.6, 0, 0)) for number in range(5)}
    cameras["0001"] = Camera(104, 140, FOCAL, FOCAL, 52, 70, cameras["0001"].cam_from_world)
    cameras["0003"] = cameras["0003"].resized(WIDTH // 2, HEIGHT // 2)
    pictures = {photo_id: render(camera, texture, depth_of=wall) for photo_id, camera in cameras.items()}
    write_workspace(tmp_path, cameras, pictures, surface_points(camera_at((0, 0, -0.2)), depth_of=wall))
    photometric_depths(tmp_path, None, ["0001", "0002", "0003"], sources=4)
    for photo_id, error in (("0001", 0.003), ("0002", 0.003), ("0003", 0.015)):  # a pixel of disparity: 5 %, 5 %, 10 %
        coverage, errors = errors_of(tmp_path, photo_id, cameras[photo_id], wall)
        assert coverage > 0.8
        assert np.median(errors) < error


def test_masked_pixels_get_no_depth(scene):
    for kind in ("photometric", "geometric"):
        depth = read_depth(scene, "0001", kind)
        assert not depth[:20].any()
        assert np.mean(depth[24:-8, 8:-8] > 0) > 0.8
    confidence = read_map(Workspace(scene.mvs).confidence_map("0001"))
    assert not confidence[:20].any() and 0 < confidence[20:].mean() <= 1


def test_a_photo_without_sources_gets_an_empty_map_and_the_run_goes_on(scene):
    report = read_json(Workspace(scene.mvs).report("0005"))
    assert "sparse points" in report["problem"] and report["coverage"] == 0
    depth = read_depth(scene, "0005")
    assert depth.shape == (130, 90) and not depth.any()


def test_an_all_sky_photo_is_reported(scene):
    labels = scene.mvs.parent / "segmentation/0004.png"
    before = labels.read_bytes()
    write_image(labels, np.full((HEIGHT, WIDTH), SKY, np.uint8))
    estimate(scene, ["0004"])
    assert "masked" in read_json(Workspace(scene.mvs).report("0004"))["problem"]
    assert not read_depth(scene, "0004").any()
    labels.write_bytes(before)
    estimate(scene, ["0004"])  # the label map is newer than the depth map: done again
    assert read_depth(scene, "0004").any()


def test_resume_keeps_whole_maps_and_redoes_truncated_ones(scene):
    workspace = Workspace(scene.mvs)
    kept, cut = workspace.depth_map("0000", "photometric"), workspace.normal_map("0002", "photometric")
    whole = cut.read_bytes()
    kept_time = kept.stat().st_mtime_ns
    cut.write_bytes(whole[: len(whole) // 2])
    assert not workspace.is_whole(cut, "0002", 3)
    estimate(scene, ["0000", "0002"])
    assert kept.stat().st_mtime_ns == kept_time
    assert cut.read_bytes() == whole


def test_resume_redoes_maps_of_other_settings(scene):
    path = Workspace(scene.mvs).depth_map("0002", "photometric")
    before = path.read_bytes()
    estimate(scene, ["0002"], sources=2)
    assert path.read_bytes() != before
    estimate(scene, ["0002"])
    assert path.read_bytes() == before


def test_bad_input_is_named(scene, tmp_path):
    with pytest.raises(UserError, match="not a dense workspace"):
        photometric_depths(tmp_path, None, [], sources=4)
    with pytest.raises(UserError, match="0042"):
        photometric_depths(scene.mvs, None, ["0042"], sources=4)
    with pytest.raises(UserError, match="no label map"):
        photometric_depths(scene.mvs, tmp_path, ["0000"], sources=4, resume=False)
    write_image(tmp_path / "0000.png", np.ones((3, 3), np.uint8))
    with pytest.raises(UserError, match="undistorted photo has"):
        photometric_depths(scene.mvs, tmp_path, ["0000"], sources=4, resume=False)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="set device to cpu"):
            photometric_depths(scene.mvs, None, ["0000"], sources=4, device="cuda")
