"""How the points answer to light: a few numbers a point, of which every photo's colours are a linear function.

One colour a point, brought to each photo's exposure, has the same shadows at every hour. So each point also gets K
numbers f, and each photo i a linear map, such that the colour of point p in photo i is

    c_pi = A_i [color_p, 1] + B_i f_p

with color_p of `recolor`. Given f, a map is a ridge regression over the points that its photo sees; given the
maps, f is one over the photos that see the point; the two alternate. So a matrix with missing entries is factorized
(Vidal & Hartley, "Motion segmentation with missing data using PowerFactorization and GPCA", CVPR 2004, section 3). What
light a new photo, or a part of one, has is again a regression: the networks' appearance code begins with it
(`models.appearance`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path
from nrw.framebuffers.observations import Photos, Samples, sample
from nrw.geometry.pointcloud import count_points, encode_lighting, stream_points

SAMPLED = 20_000  # points from which the photos' maps are found
ROUNDS = 10  # of alternation
OUTLIER = 0.15  # distance of colours in [-1, 1] from which on a sample counts half or less: something stood in front
SPREAD = 1 / 3  # deviation of each of the K numbers over the points, and what `encode` takes for granted
NOISE = 0.3  # weight of f = 0 beside the samples: what few photos show of a point moves its f less
RIDGE = 1e-3  # of the maps, towards the colour as it is, in shares of a photo's samples
PHOTOS_A_NUMBER = 5  # with fewer photos for each number, every photo gets a light of its own, and none holds for others
MIN_SAMPLES = 100  # fewer do not tell a photo's map
CHUNK = 1 << 18  # points at a time, of K (K + 1) float32 each


def find_lighting(photos: Photos, cloud_ply: Path, colors_npy: Path, out: Path, *, channels: int, seed: int) -> None:
    """Write the points' lighting, (N, channels) uint8 for `decode`, as a .npy file.

    colors_npy: of `recolour`. Of the numbers no more than one for each 5 photos, at least one, are used; the others are
    0, as are those of points that no training photo sees. A sample counts less the farther it is from what the
    factorization says (Cauchy weights). The maps come from 20 000 points drawn with `seed`, then photos and chunks of
    points stream.

    Raises UserError if no training photo shows any of the points.
    """
    colors = np.load(colors_npy, allow_pickle=False)
    used = max(1, min(channels, len(photos.ids) // PHOTOS_A_NUMBER))
    maps = _photo_maps(photos, cloud_ply, colors, used, np.random.default_rng(seed))
    with atomic_path(out) as temporary:
        lighting = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(count_points(cloud_ply), channels)
        )
        first = 0
        for points in stream_points(cloud_ply, CHUNK):
            base, found = _base(colors[first : first + len(points)]), np.zeros((len(points), used), np.float32)
            for weights in (_alike, _trust):  # of the samples; the second rest on the first result
                found = _solve_points(_samples(photos, list(maps), points), maps, base, found, weights)
            part = lighting[first : first + len(points)]
            part[:, :used], part[:, used:] = encode_lighting(found), encode_lighting(np.zeros(1))
            first += len(points)
        lighting.flush()


def _base(colors: np.ndarray) -> np.ndarray:
    """(M, 4) float32: colours (M, 3) uint8 as [-1, 1], and 1."""
    return np.column_stack([colors / np.float32(127.5) - 1, np.ones(len(colors), np.float32)]).astype(np.float32)


def _samples(photos: Photos, ids: Sequence[str], points: np.ndarray) -> Iterator[tuple[str, Samples]]:
    """Per photo, which of the points (M, 3) it sees, (S,) int64, and their colours there, (S, 3) float32 in [-1, 1]."""

    def sample_of(photo: str) -> Samples:
        ((seen, colors),) = sample(photos.view(photo), [points])
        return seen, colors / np.float32(127.5) - 1

    yield from photos.of_every(ids, sample_of, "light on the cloud")


def _photo_maps(
    photos: Photos, cloud_ply: Path, colors: np.ndarray, channels: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """(4 + channels, 3) float32 per photo, A above B, by alternation on some of the points."""
    chosen = np.sort(rng.choice(len(colors), min(SAMPLED, len(colors)), replace=False))
    points, first = [], 0
    for chunk in stream_points(cloud_ply):
        points.append(chunk[chosen[(chosen >= first) & (chosen < first + len(chunk))] - first])
        first += len(chunk)
    samples = {
        photo: found
        for photo, found in _samples(photos, photos.ids, np.concatenate(points))
        if len(found[0]) >= MIN_SAMPLES
    }
    if not samples:
        raise UserError(
            f"{cloud_ply}: none of the {len(photos.ids)} training photos shows {MIN_SAMPLES} of its points; look at it "
            "and at segmentation/, or set buffer.lighting to 0"
        )
    base, lighting = _base(colors[chosen]), np.zeros((len(chosen), channels), np.float32)
    maps = {}
    for photo, found in samples.items():  # any light at all, to begin with
        light = np.repeat(rng.normal(0, 0.1, (channels, 1)), 3, axis=1)
        maps[photo] = np.concatenate([_fit_map(base, *found), light]).astype(np.float32)
    for _ in range(ROUNDS):
        lighting = _whitened(_solve_points(samples.items(), maps, base, lighting, _trust))
        maps = {photo: _fit_map(np.column_stack([base, lighting]), *found) for photo, found in samples.items()}
    return maps


def _fit_map(terms: np.ndarray, seen: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """(T, 3): the ridge regression of sampled colours (S, 3) on the terms (M, T) of the points `seen` (S,)."""
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
    for photo, (seen, colors) in samples:
        light = maps[photo][4:]  # (K, 3)
        missing = colors - base[seen] @ maps[photo][:4]  # (S, 3)
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
