"""Measures the viewer: pictures per second along a moving camera and the time of each step, as Markdown.

python benchmarks/viewer.py results/<scene> [cpu|cuda]
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as nrw.cli sets it

import imageio.v3 as iio
import torch

from nrw.geometry.rasterize import rasterize
from nrw.scene.files import SceneFiles
from nrw.scene.model import POINTS_AT_ONCE
from nrw.viewer.session import MOVING_POINTS, Session, Viewpoint

SIZES = (256, 512)
ASPECT = 16 / 9
STEP = 0.005  # world units the camera moves between pictures
LARGE = 5_000_000  # points of a large cloud


def measured(step: Callable[[Viewpoint], object], start: Viewpoint, times: int = 12) -> tuple[float, float]:
    """Measure seconds and CPU seconds per call of `step`, each from another position."""
    x, y, z = start.position
    step(start)
    clock, cpu = time.perf_counter(), time.process_time()
    for i in range(1, times + 1):
        step(replace(start, position=(x + i * STEP, y, z)))
    return (time.perf_counter() - clock) / times, (time.process_time() - cpu) / times


def parts(session: Session, photo_id: str, size: int) -> dict[str, Callable[[Viewpoint], object]]:
    """List the steps of drawing one small picture, after the whole of it."""
    model, look, z = session.model, session.start(), session.code(photo_id)
    view = session._see(session.place(photo_id, ASPECT)[0], size, fine=False)
    labelled = model.completed(view)
    picture = model.render_view(labelled, z)
    return {
        "picture": lambda viewpoint: session.draw(viewpoint, look, size, fine=False),
        "rasterize": lambda viewpoint: session._see(viewpoint, size, fine=False),
        "labels": lambda _: model.completed(view),
        "network": lambda _: model.render_view(labelled, z),
        "JPEG": lambda _: iio.imwrite("<bytes>", picture, extension=".jpeg", quality=80),
    }


def large_cloud(session: Session, points: int) -> Callable[[Viewpoint], object]:
    """Make a step that rasterizes so many points: the cloud resampled with a little noise."""
    rng = np.random.default_rng(0)
    own = session.cloud.points
    many = own[rng.integers(len(own), size=points)] + rng.normal(0, 1e-3, (points, 3)).astype(np.float32)
    many = torch.from_numpy(many).to(session.model.device)
    device = str(session.model.device)
    return lambda viewpoint: rasterize(many.split(POINTS_AT_ONCE), viewpoint.camera(SIZES[0]), device=device)


def main(scene: Path, device: str = "cpu") -> None:
    files = SceneFiles(scene)
    model, dataset, cloud = files.open_with_cloud(device)
    session = Session(files, model, dataset, cloud)
    photo_id = session.start().photos[0]
    viewpoint, _ = session.place(photo_id, ASPECT)
    print(f"{scene.name}: {len(cloud)} points, {torch.get_num_threads()} threads, {device}\n")
    print("| pixels | pictures per second | CPU s per picture | rasterize, s | labels, s | network, s | JPEG, s |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        found = {name: measured(step, viewpoint) for name, step in parts(session, photo_id, size).items()}
        seconds, cpu = found.pop("picture")
        camera = viewpoint.camera(size)
        rest = " | ".join(f"{part:.3f}" for part, _ in found.values())
        print(f"| {camera.width} × {camera.height} | {1 / seconds:.1f} | {cpu:.3f} | {rest} |")
    print(f"\nRasterizing a cloud at {SIZES[0]} pixels, by number of points: ", end="")
    for points in (MOVING_POINTS, LARGE):
        seconds, cpu = measured(large_cloud(session, points), viewpoint, times=4)
        print(f"{points / 1e6:.0f} million in {seconds:.3f} s ({cpu:.3f} CPU seconds)", end="; ")
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
