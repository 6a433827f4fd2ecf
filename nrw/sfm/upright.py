"""The similarity that makes a reconstruction upright and scaled.

In the resulting world z points up, y points the way the photos look on average, the origin is the median of the sparse
points, and one unit is the median, over the photos, of the median depth that each sees.
"""

import numpy as np
import pycolmap

UNIT = "median over the registered photos of the median depth of the sparse points that each sees"


def upright_transform(reconstruction: pycolmap.Reconstruction) -> pycolmap.Sim3d:
    """The similarity new_from_old_world that takes a reconstruction to the world described above."""
    images = [image for _, image in sorted(reconstruction.images.items()) if image.has_pose]
    poses = np.stack([image.cam_from_world().matrix() for image in images])  # (N, 3, 4), rows: right, down, forward
    rotation = upright_rotation(poses[:, :, :3])

    xyz = {point_id: point.xyz for point_id, point in reconstruction.points3D.items()}
    depths = []
    for image, pose in zip(images, poses, strict=True):
        seen = [xyz[point.point3D_id] for point in image.get_observation_points2D()]
        if seen:
            depths.append(np.median(np.stack(seen) @ pose[2, :3] + pose[2, 3]))
    scale = 1 / np.median(depths)
    origin = np.median(np.stack(list(xyz.values())) @ rotation.T, axis=0)
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), -scale * origin)


def upright_rotation(cameras: np.ndarray) -> np.ndarray:
    """(3, 3) float64 new_from_old rotation to a world with z up, from the cameras' rotations (N, 3, 3) cam_from_world.

    People hold cameras level: the cameras' right vectors r lie in the horizontal plane, so the vertical g minimises
    sum w (r·g)². Where all photos look the same way, that leaves their common pitch undetermined; a prior pulls g
    towards the mean up vector, weighted for deviations of 3° in a camera's roll and of 15° in the set's pitch.
    Geman-McClure weights w (8°) suppress the few photos that are rolled. x is the photos' mean right vector, made
    horizontal.
    """
    right, up = cameras[:, 0], -cameras[:, 1]
    gravity = up.sum(0) / np.linalg.norm(up.sum(0))
    for _ in range(30):
        weights = 1 / (1 + ((right @ gravity) / np.sin(np.radians(8))) ** 2) ** 2
        mean_up = weights @ up
        mean_up /= np.linalg.norm(mean_up)
        cost = (right * weights[:, None]).T @ right + (3 / 15) ** 2 * (np.eye(3) - np.outer(mean_up, mean_up))
        gravity = np.linalg.eigh(cost)[1][:, 0]
        gravity *= np.sign(gravity @ mean_up)
    # the right vectors of a full circle of cameras cancel: a trace of the first camera decides there
    x = weights @ right + 1e-6 * right[0]
    x -= (x @ gravity) * gravity
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(gravity, x), gravity])
