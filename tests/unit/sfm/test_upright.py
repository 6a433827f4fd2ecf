"""The vertical, from the rotations of hand-held cameras."""

import numpy as np
import pytest
from corner_scene import level_camera

from nrw.sfm.upright import upright_rotation


# photos that all look the same way (4°) leave part of their common pitch, 10°, in
@pytest.mark.parametrize(("spread", "mean_error"), [(4, 6), (30, 1.2), (180, 0.6)])
def test_upright_rotation_of_hand_held_cameras(spread, mean_error):
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        world = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        world *= np.linalg.det(world)
        yaws = rng.uniform(-spread, spread, 40)
        cameras = np.stack([level_camera(yaw, rng.normal(10, 4), rng.normal(0, 1.5)) for yaw in yaws])
        cameras[::8] = np.stack(
            [level_camera(yaw, 10, roll) for yaw, roll in zip(yaws[::8], (90, -90, 90, 35, 180), strict=True)]
        )
        rotation = upright_rotation(cameras @ world.T)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        errors.append(np.degrees(np.arccos((rotation @ world)[2, 2])))
        if spread < 180:
            assert (rotation @ world)[1, 1] > 0.95  # y is forward
    assert np.mean(errors) < mean_error and np.max(errors) < 15


def test_upright_rotation_of_a_full_circle():
    cameras = np.stack([level_camera(yaw, 10) for yaw in range(0, 360, 45)])
    rotation = upright_rotation(cameras)
    np.testing.assert_allclose(rotation[2], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
