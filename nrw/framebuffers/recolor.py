"""Point colors from the training photos, brought to one exposure, robust against objects that pass in front.

Baseline R, the recolored cloud, uses them, and so do the networks: the cloud's own colors mix the exposures of the
photos that fusion used, validation photos included.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path
from nrw.core.progress import progress
from nrw.framebuffers.observations import MIN_PIXELS, MIN_SPREAD, Observations, Samples
from nrw.geometry.pointcloud import count_points, read_cloud

ROBUST_PASSES = 2  # after the plain mean: with few views, one still leaves a tenth of an outlier


def recolor(observations: Observations, cloud_ply: Path, out: Path) -> None:
    """Write the (N, 3) uint8 colors of the cloud's points as a .npy file.

    Each training photo is brought to the set's common median and standard deviation per channel, taken over the pixels
    where it shows a point and no masked label (transient objects, sky). A photo sees a point whose depth agrees, within
    2 %, with that of its framebuffer's splats there. A point's color is the mean over the photos that see it, then
    twice the mean with Cauchy weights 1 / (1 + (r / s)^2), r being the distance to the previous color and s the set's
    typical spread: a person in front of a wall in one photo is outvoted. Points that no training photo sees keep the
    cloud's color, brought to the others' statistics.

    Samples stream, three times; 36 bytes per point are kept.
    Raises UserError if no training photo shows enough of the cloud.
    """
    found = observations.exposures
    exposures = {photo_id: exposure for photo_id in observations.ids if (exposure := found[photo_id]) is not None}
    if not exposures:
        raise UserError(
            f"{cloud_ply}: none of the {len(found)} training photos shows {MIN_PIXELS} pixels of the cloud free of "
            "transient objects; look at mvs/cloud.ply and at segmentation/"
        )
    common = np.median(list(exposures.values()), axis=0).astype(np.float32)  # (2, 3): median and deviation

    def samples() -> Iterator[Samples]:
        for photo_id, (median, deviation) in progress(exposures.items(), len(exposures), "coloring, one of 3 passes"):
            points, colors = observations.samples(photo_id)
            yield points, (colors - median) * (common[1] / deviation) + common[0]

    colors, seen = _robust_mean(samples, count_points(cloud_ply))
    if not seen.all():
        colors[~seen] = _matched(read_cloud(cloud_ply).colors, colors, seen)
    with atomic_path(out) as temporary:
        np.save(temporary, np.rint(np.clip(colors, 0, 255)).astype(np.uint8))


def _robust_mean(samples: Callable[[], Iterable[Samples]], n_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (N, 3) float32, meaningless where a point has no sample, and which points have one, (N,) bool."""
    mean: np.ndarray = np.zeros((n_points, 3), np.float32)
    count = np.zeros(n_points, np.float32)
    squares = np.zeros(n_points, np.float32)
    for points, colors in samples():
        mean[points] += colors
        count[points] += 1
        squares[points] += np.sum(colors**2, axis=1)
    mean /= np.maximum(count, 1)[:, None]

    several = count >= 3
    variance = (squares[several] / count[several] - np.sum(mean[several] ** 2, axis=1)).clip(min=0)
    variance *= count[several] / (count[several] - 1)
    # the median over the points: an outlier spreads the colors of the points that it covers, and those are the fewer
    scale = max(MIN_SPREAD, np.sqrt(np.median(variance))) if several.any() else MIN_SPREAD

    for _ in range(ROBUST_PASSES):
        total, weight = np.zeros_like(mean), np.zeros_like(count)
        for points, colors in samples():
            votes = 1 / (1 + np.sum((colors - mean[points]) ** 2, axis=1) / scale**2)
            total[points] += votes[:, None] * colors
            weight[points] += votes
        mean = total / np.where(weight > 0, weight, 1)[:, None]
    return mean, count > 0


def _matched(own: np.ndarray, colors: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The unseen points' own colors (N, 3), by the change of median and deviation that the seen points' underwent."""
    reference = own[seen].astype(np.float32)
    gain = colors[seen].std(axis=0) / np.maximum(reference.std(axis=0), MIN_SPREAD)
    return (own[~seen] - np.median(reference, axis=0)) * gain + np.median(colors[seen], axis=0)
