"""Which pixels show the ground, of photos of a square without labels."""

import numpy as np
import pytest
from PIL import Image
from plaza_scene import EYE, HEIGHT, HOUSE, WIDTH, surfaces, write_plaza

from nrw.core.io import write_image
from nrw.mvs.ground_plane import Plane
from nrw.mvs.ground_support import find_ground
from nrw.mvs.workspace import read_map, write_map

UP = np.array([0.0, 0, 1])
GROUND = Plane(UP, 0.0)


@pytest.fixture
def workspace(tmp_path):
    return write_plaza(tmp_path)


def near(camera):
    """The square between 3 and 10 metres ahead."""
    truth, house = surfaces(camera)
    return ~house & (truth > 3) & (truth < 10)


def repaint(workspace, photo_id, place, color):
    pixels = np.array(Image.open(workspace.image(photo_id)))
    pixels[place] = color
    Image.fromarray(pixels).save(workspace.image(photo_id), quality=97)


def test_the_square_is_shown_and_the_house_is_not(workspace):
    ground = find_ground(workspace, GROUND)
    assert ground.eye == pytest.approx(EYE)
    for photo_id in ("0001", "0002", "0003"):
        camera = workspace.cameras[photo_id]
        shown = ground.shown(workspace, photo_id)
        assert shown[near(camera)].mean() > 0.9
        assert not shown[surfaces(camera)[1]].any()
        assert not shown[:150].any()  # above the horizon


def test_people_in_front_of_it_are_not_the_ground(workspace):
    person = (slice(120, 215), slice(150, 180))
    repaint(workspace, "0002", person, (200, 30, 30))
    shown = find_ground(workspace, GROUND).shown(workspace, "0002")
    inside = (slice(190, 210), slice(155, 175))
    assert shown[inside].mean() < 0.05
    assert shown[190:215, 80:130].mean() > 0.9 and shown[190:215, 200:250].mean() > 0.9


def test_a_plane_at_another_height_is_refuted(workspace):
    for height in (0.35 * EYE, -0.35 * EYE):
        for photo_id in workspace.cameras:  # nothing matched beneath the horizon speaks against it
            depth = read_map(workspace.depth_map(photo_id, "geometric"))
            depth[150:] = 0
            write_map(workspace.depth_map(photo_id, "geometric"), depth)
        assert find_ground(workspace, Plane(UP, height)) is None
    assert find_ground(workspace, GROUND) is not None


def test_a_plane_above_the_cameras_is_none(workspace):
    assert find_ground(workspace, Plane(UP, 2 * EYE)) is None


def test_the_ground_ends_at_the_foot_of_a_house_whose_foot_was_not_matched(workspace):
    for photo_id in workspace.cameras:
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        depth[140:] = 0
        write_map(workspace.depth_map(photo_id, "geometric"), depth)
    ground = find_ground(workspace, GROUND)
    for photo_id, camera in workspace.cameras.items():
        shown = ground.shown(workspace, photo_id)
        assert not (shown & surfaces(camera)[1] & (GROUND.depth(camera) > 1.01 * HOUSE)).any()


def test_where_a_surface_lies_deeper_there_is_no_ground(workspace):
    pit = (slice(185, 205), slice(60, 110))
    camera = workspace.cameras["0002"]
    depth = read_map(workspace.depth_map("0002", "geometric"))
    depth[pit] = 2.5 * GROUND.depth(camera)[pit]
    write_map(workspace.depth_map("0002", "geometric"), depth)
    shown = find_ground(workspace, GROUND).shown(workspace, "0002")
    assert not shown[155:205, 65:105].any()
    assert shown[190:205, 200:250].mean() > 0.9


def test_sky_masks_keep_their_pixels_out(workspace):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :100] = 255
    write_image(workspace.sky_mask("0002"), mask)
    assert not find_ground(workspace, GROUND).shown(workspace, "0002")[:, :100].any()
