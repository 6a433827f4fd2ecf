"""Makes the README's picture: frames of a finished scene's three videos, one row per video.

python benchmarks/readme_picture.py results/demo docs/demo.jpg
"""

import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from nrw.config.choices import VIDEO_KINDS
from nrw.scene.files import SceneFiles

FRAMES = 4  # per video
WIDTH = 320  # pixels, of a frame


def row(video: Path) -> np.ndarray:
    """Read evenly spaced frames, crop them to 16:9 and scale them to WIDTH: (H, FRAMES * WIDTH, 3) uint8."""
    frames = iio.imread(video)
    picked = frames[np.linspace(0, len(frames) - 1, FRAMES + 1).astype(int)[:-1]]
    height = min(picked.shape[1], picked.shape[2] * 9 // 16)
    top = (picked.shape[1] - height) // 2
    steps = [
        np.linspace(0, side - 1, size).round().astype(int)
        for side, size in ((height, WIDTH * 9 // 16), (picked.shape[2], WIDTH))
    ]
    return np.concatenate([frame[top : top + height][np.ix_(*steps)] for frame in picked], axis=1)


if __name__ == "__main__":
    scene, out = map(Path, sys.argv[1:])
    rows = [row(SceneFiles(scene).video(kind)) for kind in VIDEO_KINDS]
    iio.imwrite(out, np.concatenate(rows), quality=90)
