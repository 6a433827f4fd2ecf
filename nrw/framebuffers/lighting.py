"""Lighting of the points: a few numbers per point, of which every photo's colors are a linear function.

One color per point, adjusted to each photo's exposure, has the same shadows at every hour. So each point also gets K
numbers f, and each photo i a linear map, such that the color of point p in photo i is

    c_pi = A_i [color_p, 1] + B_i f_p

with color_p of `recolor`. Given f, a map is a ridge regression over the points that its photo sees; given the maps, f
is a ridge regression over the photos that see the point; the two alternate. This factorizes a matrix with missing
entries (Vidal & Hartley, "Motion segmentation with missing data using PowerFactorization and GPCA", CVPR 2004, section
3). The light of a new photo, or of a part of one, is again a regression: the appearance code of the networks begins
with it (`models.appearance`).
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path
from nrw.core.progress import in_threads, progress
from nrw.framebuffers.observations import Observations, Samples
from nrw.geometry.pointcloud import encode_lighting

SAMPLED = 20_000  # points from which the photos' maps are found
ROUNDS = 10  # of alternation
OUTLIER = 0.15  # distance of colors in [-1, 1] at which a sample counts half: something stood in front
SPREAD = 1 / 3  # deviation of each of the K numbers over the points, and what `encode_lighting` assumes
NOISE = 0.3  # weight of f = 0 relative to the samples: a point that few photos see has a smaller f
RIDGE = 1e-3  # of the maps, towards the identity, relative to a photo's samples
PHOTOS_PER_NUMBER = 5  # with fewer photos for each number every photo gets a light of its own: overfitting
MIN_SAMPLES = 100  # fewer do not determine a photo's map
CHUNK = 1 << 16  # points at a time, of K (K + 1) float32 each


def light_cloud(
    observations: Observations,
    cloud_ply: Path,
    colors_npy: Path,
    out: Path,
    *,
    channels: int,
    seed: int,
    threads: int,
) -> None:
    """Write the points' lighting, (N, channels) uint8 for `pointcloud.decode_lighting`, as a .npy file.

    colors_npy: of `recolor`. At most one number per 5 photos is used, at least one; the others are 0, as are those of
    points that no training photo sees. A sample counts less the farther it is from what the factorization says (Cauchy
    weights). The maps come from 20 000 points drawn with `seed`; then photos stream, for `threads` chunks of points at
    a time.

    Raises UserError if no training photo shows any of the points.
    """
    colors = np.load(colors_npy, allow_pickle=False)
    used = max(1, min(channels, len(observations.ids) // PHOTOS_PER_NUMBER))
    maps = _photo_maps(observations, cloud_ply, colors, used, np.random.default_rng(seed))

    def solve(first: int) -> np.ndarray:
        base = _base(colors[first : first + CHUNK])
        found = np.zeros((len(base), used), np.float32)
        for weights in (_alike, _trust):  # of the samples; the second rest on the first result
            samples = ((photo_id, _samples_between(observations, photo_id, first, first + CHUNK)) for photo_id in maps)
            found = _solve_points(samples, maps, base, found, weights)
        return encode_lighting(found)

    chunks = range(0, len(colors), CHUNK)
    with atomic_path(out) as temporary:
        lighting = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(len(colors), channels))
        for first, found in progress(in_threads(solve, chunks, threads), len(chunks), "light on the cloud"):
            part = lighting[first : first + CHUNK]
            part[:, :used], part[:, used:] = found, encode_lighting(np.zeros(1))
        lighting.flush()


def _base(colors: np.ndarray) -> np.ndarray:
    """(M, 4) float32: colors (M, 3) uint8 as [-1, 1], and 1."""
    return np.column_stack([_signed(colors), np.ones(len(colors), np.float32)]).astype(np.float32)


def _signed(colors: np.ndarray) -> np.ndarray:
    """Colors from 0 to 255 as [-1, 1]."""
    return colors / np.float32(127.5) - 1


def _samples_between(observations: Observations, photo_id: str, first: int, last: int) -> Samples:
    """A photo's samples of the points from `first` to before `last`, counted from `first`; colors in [-1, 1]."""
    points, colors = observations.samples(photo_id)
    part = slice(*np.searchsorted(points, [first, last]))
    return points[part].astype(np.int64) - first, _signed(colors[part])


def _samples_of(observations: Observations, photo_id: str, chosen: np.ndarray) -> Samples:
    """A photo's samples of the `chosen` points (M,), ascending, by their place in `chosen`; colors in [-1, 1]."""
    points, colors = observations.samples(photo_id)
    place = np.searchsorted(chosen, points).clip(max=len(chosen) - 1)
    among = chosen[place] == points
    return place[among], _signed(colors[among])


def _photo_maps(
    observations: Observations, cloud_ply: Path, colors: np.ndarray, channels: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """(4 + channels, 3) float32 per photo, A above B, by alternation on some of the points."""
    chosen = np.sort(rng.choice(len(colors), min(SAMPLED, len(colors)), replace=False))
    samples = {photo_id: _samples_of(observations, photo_id, chosen) for photo_id in observations.ids}
    samples = {photo_id: found for photo_id, found in samples.items() if len(found[0]) >= MIN_SAMPLES}
    if not samples:
        raise UserError(
            f"{cloud_ply}: none of the {len(observations.ids)} training photos shows {MIN_SAMPLES} of its points; look "
            "at it and at segmentation/, or set buffer.lighting to 0"
        )
    base, lighting = _base(colors[chosen]), np.zeros((len(chosen), channels), np.float32)
    maps = {}
    for photo_id, found in samples.items():  # any light at all, to begin with
        light = np.repeat(rng.normal(0, 0.1, (channels, 1)), 3, axis=1)
        maps[photo_id] = np.concatenate([_fit_map(base, *found), light]).astype(np.float32)
    for _ in range(ROUNDS):
        lighting = _whitened(_solve_points(samples.items(), maps, base, lighting, _trust))
        maps = {photo_id: _fit_map(np.column_stack([base, lighting]), *found) for photo_id, found in samples.items()}
    return maps


def _fit_map(terms: np.ndarray, seen: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(T, 3): the ridge regression of sampled colors (S, 3) on the terms (M, T) of the points `seen` (S,)."""
    used = terms[seen]
    size = used.shape[1]
    ridge, usual = RIDGE * np.eye(size), np.eye(size, 3)
    return np.linalg.solve(used.T @ used / len(used) + ridge, used.T @ colors / len(used) + RIDGE * usual).astype(
        np.float32
    )


def _solve_points(
    samples: Iterable[tuple[str, Samples]],
    maps: Mapping[str, np.ndarray],
    base: np.ndarray,
    before: np.ndarray,
    weights: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The lighting (M, K) float32 of points with `base` (M, 4), given the photos' maps; 0 without samples.

    before: (M, K), the lighting that the `weights` of the samples rest on: their function of the residuals (S, 3).
    """
    count, channels = before.shape
    products, sums = np.zeros((count, channels, channels), np.float32), np.zeros((count, channels), np.float32)
    for photo_id, (seen, colors) in samples:
        light = maps[photo_id][4:]  # (K, 3)
        missing = colors - base[seen] @ maps[photo_id][:4]  # (S, 3)
        weight = weights(missing - before[seen] @ light)
        products[seen] += weight[:, None, None] * (light @ light.T)
        sums[seen] += weight[:, None] * (missing @ light.T)
    products += NOISE * np.eye(channels, dtype=np.float32)
    return np.linalg.solve(products, sums[..., None])[..., 0]


def _alike(residuals: np.ndarray) -> np.ndarray:
    return np.ones(len(residuals), np.float32)


def _trust(residuals: np.ndarray) -> np.ndarray:
    """(S,) Cauchy weights of residuals (S, 3)."""
    return 1 / (1 + np.sum(residuals**2, axis=1) / np.float32(OUTLIER**2))


def _whitened(lighting: np.ndarray) -> np.ndarray:
    """(M, K) uncorrelated and of deviation SPREAD, by a linear map, which the photos' maps make up for."""
    covariance = lighting.T @ lighting / len(lighting) + 1e-8 * np.eye(lighting.shape[1])
    return (SPREAD * lighting @ np.linalg.inv(np.linalg.cholesky(covariance)).T).astype(np.float32)
