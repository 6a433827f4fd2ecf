"""Points to depth maps: our rasterizer beside pyrender's OpenGL, open3d's projection and NumPy, as Markdown.

python benchmarks/rasterize.py [millions of points]

A synthetic cloud, points of one pixel, 640 x 480, one thread, the median of seven runs that take turns. All depth maps
are compared with the first. Ours and NumPy's find the point of each pixel too.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries below are loaded

import numpy as np
import open3d as o3d
import torch

from nrw.geometry import rasterize_pyrender
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import Geometry, rasterize

RUNS = 7
CAMERA = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, np.eye(3, 4))


def cloud_of(count: int) -> np.ndarray:
    """(N, 3) float32: points between 2 and 6 units before the camera, over a little more than its picture."""
    rng = np.random.default_rng(0)
    z = rng.uniform(2, 6, count)
    return np.column_stack([rng.uniform(-0.7, 0.7, count) * z, rng.uniform(-0.55, 0.55, count) * z, z]).astype(
        np.float32
    )


def methods(points: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """What gives a depth map (H, W) of the points, by name."""
    colors, spacing = np.zeros((len(points), 3), np.uint8), np.zeros(len(points), np.float32)
    geometry = Geometry.of(Cloud(points, colors, np.zeros_like(points), spacing))
    on_device = o3d.t.geometry.PointCloud(o3d.core.Tensor(points))
    half = np.array(
        [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    )  # open3d rounds to a pixel, whose centre is at a whole number
    lens, pose = o3d.core.Tensor(CAMERA.K - half), o3d.core.Tensor(np.vstack([CAMERA.cam_from_world, [0, 0, 0, 1]]))

    projection = (CAMERA.K @ CAMERA.cam_from_world).astype(np.float32)

    def with_open3d() -> np.ndarray:
        image = on_device.project_to_depth_image(640, 480, lens, pose, depth_scale=1.0, depth_max=100.0)
        return image.as_tensor().numpy()[..., 0]

    def with_numpy() -> np.ndarray:
        uz, vz, z = projection[:, :3] @ points.T + projection[:, 3:]
        u, v = uz / z, vz / z
        seen = np.flatnonzero((u >= 0) & (u < CAMERA.width) & (v >= 0) & (v < CAMERA.height))
        keys = np.full(CAMERA.width * CAMERA.height, np.iinfo(np.int64).max)  # as ours: depth, then the point's number
        pixel = v[seen].astype(int) * CAMERA.width + u[seen].astype(int)
        np.minimum.at(keys, pixel, z[seen].view(np.int32).astype(np.int64) << 32 | seen)
        hit = keys < np.iinfo(np.int64).max
        depth = np.where(hit, keys >> 32, 0).astype(np.int32).view(np.float32)
        return depth.reshape(CAMERA.height, CAMERA.width)

    return {
        "nrw": lambda: rasterize(geometry, CAMERA).depth.numpy(),
        "pyrender, OSMesa": lambda: rasterize_pyrender.render(points, colors, CAMERA)[1],
        "open3d, project_to_depth_image": with_open3d,
        "NumPy, minimum.at": with_numpy,
    }


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    torch.set_num_threads(1)
    found = methods(cloud_of(int(millions * 1e6)))
    first = {name: draw() for name, draw in found.items()}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(RUNS):
        for name, draw in found.items():
            start = time.process_time()
            draw()
            seconds[name].append(time.process_time() - start)
    ours, reference = statistics.median(seconds["nrw"]), first["nrw"]
    print(f"{millions:g} million points, {CAMERA.width} x {CAMERA.height}\n")
    print("| method | CPU seconds | times ours | pixels whose depth differs by more than 0.1 % |\n|---|---|---|---|")
    for name, depth in first.items():
        median = statistics.median(seconds[name])
        off = (np.abs(depth - reference) > 1e-3 * np.maximum(depth, reference)).mean()
        print(f"| {name} | {median:.3f} | {median / ours:.1f} | {off:.2%} |")


if __name__ == "__main__":
    main()
