"""Makes the README's pictures: frames of a finished scene's three videos, one row each, and its fly-through as a clip.

python benchmarks/readme_picture.py results/demo docs/demo.jpg docs/flythrough.webp
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

from nrw.config.choices import VIDEO_KINDS
from nrw.scene.files import SceneFiles

FRAMES, WIDTH = 4, 320  # per video, and pixels of each
CLIP_WIDTH, EVERY, QUALITY = 640, 2, 55  # pixels; each which frame; of WebP


def frames(video: Path, width: int) -> Iterator[Image.Image]:
    """Read a video's frames, cropped to 16:9, in a width."""
    for frame in iio.imiter(video):
        whole = Image.fromarray(frame)
        height = min(whole.height, whole.width * 9 // 16)
        top = (whole.height - height) // 2
        box = (0, top, whole.width, top + height)
        yield whole.resize((width, width * 9 // 16), Image.Resampling.LANCZOS, box)


def row(video: Path) -> np.ndarray:
    """Evenly spaced frames side by side."""
    count = sum(1 for _ in iio.imiter(video))
    marks = set(np.linspace(0, count - 1, FRAMES + 1).astype(int)[:-1].tolist())
    picked = [frame for number, frame in enumerate(frames(video, WIDTH)) if number in marks]
    return np.concatenate([np.asarray(frame) for frame in picked], axis=1)


def write_clip(video: Path, out: Path) -> None:
    """Write every other frame as an animated WebP that repeats for ever."""
    fps = iio.immeta(video)["fps"]
    first, *rest = islice(frames(video, CLIP_WIDTH), 0, None, EVERY)
    first.save(
        out, save_all=True, append_images=rest, duration=round(1000 * EVERY / fps), loop=0, quality=QUALITY, method=6
    )


if __name__ == "__main__":
    scene, picture, clip = map(Path, sys.argv[1:])
    iio.imwrite(picture, np.concatenate([row(SceneFiles(scene).video(kind)) for kind in VIDEO_KINDS]), quality=90)
    write_clip(SceneFiles(scene).video("flythrough"), clip)
