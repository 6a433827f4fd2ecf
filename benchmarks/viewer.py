"""Measures the viewer: pictures per second while the camera moves, and fine ones, as of videos, as Markdown.

python benchmarks/viewer.py results/<scene> [cpu|cuda]
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as nrw.cli sets it

import imageio.v3 as iio
import torch

from nrw.scene.files import SceneFiles
from nrw.viewer.session import Session, Viewpoint

PICTURES = ((256, False), (512, False), (512, True), (640, True), (960, True))  # size in pixels, fine
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


def parts(session: Session, photo_id: str, size: int, fine: bool) -> dict[str, Callable[[Viewpoint], object]]:
    """List the steps of drawing one picture, after the whole of it."""
    views, look, z = session.views if fine else session.coarse, session.start(), session.code(photo_id)
    seen = views.see(session.place(photo_id, ASPECT)[0].camera(size))
    picture = views.draw(seen, z, skies=look.weights)
    return {
        "picture": lambda viewpoint: session.draw(viewpoint, look, size, fine),
        "see": lambda viewpoint: views.see(viewpoint.camera(size)),
        "draw": lambda _: views.draw(seen, z, skies=look.weights),
        "JPEG": lambda _: iio.imwrite("<bytes>", picture, extension=".jpeg", quality=80),
    }


def main(scene: Path, device: str = "cpu") -> None:
    files = SceneFiles(scene)
    session = Session(files, *files.open_views(device))
    photo_id = session.start().photos[0]
    viewpoint, _ = session.place(photo_id, ASPECT)
    print(f"{scene.name}: {len(session.cloud)} points, {torch.get_num_threads()} threads, {device}\n")
    print("| camera | pixels | pictures per second | CPU s per picture | see, CPU s | draw, CPU s | JPEG, CPU s |")
    print("|---|---|---|---|---|---|---|")
    for size, fine in PICTURES:
        found = {name: measured(step, viewpoint) for name, step in parts(session, photo_id, size, fine).items()}
        seconds, cpu = found.pop("picture")
        camera = viewpoint.camera(size)
        rest = " | ".join(f"{part:.3f}" for _, part in found.values())
        state = "rests" if fine else "moves"
        print(f"| {state} | {camera.width} × {camera.height} | {1 / seconds:.1f} | {cpu:.3f} | {rest} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
