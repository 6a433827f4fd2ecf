"""Photographed skies: continued, and looked up by direction."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from nrw.core.ade20k import label_of
from nrw.dataset.packed import View
from nrw.detail.painting import continued
from nrw.detail.skies import Skies, look_up, sky_of
from nrw.geometry.cameras import Camera, look_at
from nrw.models.inputs import BufferSpec
from nrw.models.terms import holes, sky_share

WIDTH, HEIGHT, SCALE = 64, 48, 2
SKY, BUILDING = label_of("sky"), label_of("building")
ROOFLINE = 24  # rows above it show sky


def color_of(directions):
    """The sky (…, 3), 0 to 1, in unit directions (…, 3): brighter to the east, bluer above."""
    x, z = directions[..., 0], directions[..., 2]
    return np.stack([0.5 + 0.3 * x, 0.5 - 0.2 * z, 0.6 + 0.3 * z], axis=-1)


def looking(position, target):
    return Camera(WIDTH, HEIGHT, 60, 60, WIDTH / 2, HEIGHT / 2, look_at(np.array(position), np.array(target)))


@dataclass
class Photos:
    """A data set of a photo of a sky above a roof, and of one without any sky."""

    camera: Camera
    meta: dict

    def view(self, photo_id):
        labels = np.full((HEIGHT, WIDTH), BUILDING, np.uint8)
        if photo_id == "sky":
            labels[:ROOFLINE] = SKY
        depth = np.where(labels == SKY, 0, 5).astype(np.float32)
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        return View(
            photo_id, pixels, labels, [pixels], [depth], None, [255 * (depth > 0).astype(np.uint8)], self.camera
        )


@pytest.fixture
def skies(tmp_path):
    camera = looking([0.0, 0, 0], [0.0, 5, 1.5])
    dataset = Photos(camera, {"sky": [SKY]})
    large = camera.resized(SCALE * WIDTH, SCALE * HEIGHT)
    picture = 255 * color_of(large.ray_directions())
    picture[SCALE * ROOFLINE :] = 0  # the roof
    for name in ("sky", "none"):
        Image.fromarray(picture.round().astype(np.uint8)).save(tmp_path / f"{name}.jpg", quality=98)
    return Skies(dataset, tmp_path, tmp_path, SCALE)


def test_a_view_from_elsewhere_shows_the_sky_by_direction(skies):
    camera = looking([3.0, -2, 0.5], [3.4, 3, 2.8])
    pixel = torch.arange(WIDTH * 16)
    color, weight = skies.look_up(camera, pixel, {"sky": 1.0})
    expected = color_of(camera.ray_directions()).reshape(-1, 3)[: len(pixel)]
    assert (weight > 0.99).all()
    # what the photo does not show is continued
    assert np.abs((color.T.numpy() + 1) / 2 - expected).mean() < 0.03


def test_skies_blend_and_a_photo_without_sky_leaves_what_is_painted(skies):
    camera, pixel = looking([0.0, 0, 0], [0.0, 5, 1.5]), torch.arange(WIDTH * 8)
    whole, _ = skies.look_up(camera, pixel, {"sky": 1.0})
    half, weight = skies.look_up(camera, pixel, {"sky": 0.5, "none": 0.5})
    torch.testing.assert_close(half, 0.5 * whole)
    torch.testing.assert_close(weight, torch.full_like(weight, 0.5))
    behind = look_up(skies._sky("sky"), torch.tensor([[0.0], [-1], [0]]))[1]
    assert behind.tolist() == [0]


def test_a_photos_sky_keeps_away_from_outlines(skies):
    shown = sky_of(skies.dataset.view("sky"), [SKY], skies.workspace_dir)
    assert shown[: ROOFLINE - 3].all() and not shown[ROOFLINE - 3 :].any()


def test_continued_keeps_what_is_known_and_stays_within_it():
    rng = torch.Generator().manual_seed(0)
    picture, known = torch.rand(1, 3, 37, 50, generator=rng), (torch.rand(1, 1, 37, 50, generator=rng) > 0.9).float()
    found = continued(picture * known, known)
    assert torch.equal(found * known, picture * known)
    assert found.min() >= (picture + 2 * (known == 0)).min() and found.max() <= (picture * known).max()
    flat = continued(0.4 * known.expand(1, 3, -1, -1), known)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.4))


def test_windows_are_no_sky():
    """Without labels, empty pixels are sky above the roof, holes below it, and neither below the horizon."""
    spec = BufferSpec.from_record({**SPEC, "classes": []})
    raster = torch.zeros(1, spec.raster_channels, 40, 30)
    raster[:, 7] = torch.linspace(0.6, -0.2, 40)[:, None]  # sine of the elevation
    raster[:, 4, 10:] = 1
    raster[:, 4, 20:24, 10:15] = raster[:, 4, 35:] = 0
    share, hole = sky_share(spec, raster, [SKY]), holes(spec, raster)
    assert (share[:, :, :10] == 1).all() and (share[:, :, 10:] == 0).all()
    assert hole.sum() == 4 * 5 and hole[0, 0, 20:24, 10:15].all()


SPEC = {
    "representation": "corrected",
    "levels": 1,
    "view_direction": True,
    "near": 1.0,
    "far": 10.0,
    "lighting": 0,
    "point_channels": 0,
    "n_points": 0,
    "detail": False,
}
