"""Sky masks for photos without label maps: from what the photos' depth maps meet, and from colour.

A ray into the sky meets nothing: neither the photo nor its neighbours have a depth there, nor anywhere above. What lies
below the horizon, or well inside the surfaces that were matched, is no sky. Between the two, where maps have holes and
surfaces reach a few pixels beyond their outlines, colour decides: its models are learned from the two sets and refined
with the mask, which at last follows the edges of the photo at its full size.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from nrw.core.io import write_image
from nrw.core.pieces import pending
from nrw.core.progress import progress
from nrw.geometry.cameras import Camera, fit_size
from nrw.mvs.consensus import seen_from
from nrw.mvs.depth_maps import DepthMap
from nrw.mvs.sky_colors import Colors, apply, guided
from nrw.mvs.sources import SparseScene, read_sparse, select_sources
from nrw.mvs.workspace import Workspace, read_map

logger = logging.getLogger(__name__)

SIZE = 320  # pixels, longer side at which the sky is found; all widths below are of these pixels
NEIGHBOURS = 8  # photos whose depth maps are seen in a photo
MIN_VOTES = 2  # of them must have a surface where the photo itself has none
SPECK = 1e-3  # of the picture: smaller patches of depth are none
PATCH = 0.02  # of the picture: smaller ones that stand in the air are not certain
GAP = 3  # half the width of the gaps between surfaces that are closed
MARGIN = 12  # how far surfaces may reach beyond their outline
BINS = 360  # of azimuth
CALM = 1.5  # percent of brightness per pixel: roughness of the sky that the search begins with,
NOISE = 2.0  # or this many times that of its calmest fifth
SMALLEST = 2e-3  # of the picture, of such a sky
BLACK, WHITE = 12, 250  # of 255: a frame around the picture
FRAME = 2  # width of its blurred edge
# log odds of sky: for nothing above, for something above, and for each neighbour with a surface
ABOVE, UNDER, VOTE = 0.5, -1.5, -0.15
ROUNDS = 3
SURE = 0.8  # probability from which on a pixel teaches the colours of the next round
ALIKE = 1.0  # mean log odds of colour of a piece of sky apart from the others
EDGE = 2  # width of the seam in which the full size decides
SKY = 255  # in the mask


def mask_sky(mvs_dir: Path | str, ids: list[str], key_file: Path | str) -> None:
    """Write the sky masks of a chunk of photos, `ids`: PNG of the undistorted photo's size, uint8, 255 = sky, 0 = not.

    Needs the geometric depth and normal maps of all photos. Photos that are done are skipped (`core.pieces`; `key_file`
    belongs to this chunk). Reads one neighbour's maps at a time. Raises UserError if the workspace, a photo's id or a
    map is missing.
    """
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    given = [workspace.depth_map(photo_id, "geometric") for photo_id in workspace.cameras]
    fingerprint = {"given": [path for path in given if path.is_file()]}
    todo = pending(ids, key_file, fingerprint, lambda photo_id: [workspace.sky_mask(photo_id)])
    if not todo:
        return
    scene = read_sparse(workspace.sparse, workspace.cameras)
    shares = []
    for photo_id in progress(todo, len(todo), "sky masks"):
        depth = read_map(workspace.depth_map(photo_id, "geometric"))
        votes = count_surfaces(workspace, scene, photo_id)
        with Image.open(workspace.image(photo_id)) as image:
            photo = np.asarray(image.convert("RGB"))
        sky = find_sky(photo, depth, workspace.cameras[photo_id], votes)
        write_image(workspace.sky_mask(photo_id), np.where(sky, SKY, 0).astype(np.uint8))
        shares.append(sky.mean())
    logger.info("%.1f %% of the photos' pixels are sky", 100 * np.mean(shares))


@torch.inference_mode()
def count_surfaces(workspace: Workspace, scene: SparseScene, photo_id: str) -> np.ndarray:
    """(h, w) uint8, longer side SIZE: how many of a photo's neighbours have a surface where its rays pass."""
    camera = _small(workspace.cameras[photo_id])
    neighbours = [_small_map(workspace, neighbour) for neighbour in select_sources(scene, photo_id, NEIGHBOURS)]
    if not neighbours:
        return np.zeros((camera.height, camera.width), np.uint8)
    return (seen_from(camera, neighbours) > 0).sum(0, dtype=torch.uint8).numpy()


def _small_map(workspace: Workspace, photo_id: str) -> DepthMap:
    """Every n-th row and column of a photo's maps, so that the longer side is about SIZE."""
    camera = workspace.cameras[photo_id]
    step = max(1, round(max(camera.width, camera.height) / SIZE))
    paths = workspace.depth_map(photo_id, "geometric"), workspace.normal_map(photo_id, "geometric")
    depth, normals = (torch.from_numpy(read_map(path)[::step, ::step].copy()) for path in paths)
    return DepthMap(depth, normals, _strided(camera, step))


def _small(camera: Camera) -> Camera:
    return camera.resized(*fit_size(camera.width, camera.height, SIZE))


def _strided(camera: Camera, step: int) -> Camera:
    """The camera of every `step`-th row and column."""
    width, height = -(-camera.width // step), -(-camera.height // step)
    half = (step - 1) / (2 * step)  # a kept pixel's centre is not that of the block it stands for
    return Camera(
        width,
        height,
        camera.fx / step,
        camera.fy / step,
        camera.cx / step + half,
        camera.cy / step + half,
        camera.cam_from_world,
    )


def find_sky(photo: np.ndarray, depth: np.ndarray, camera: Camera, votes: np.ndarray) -> np.ndarray:
    """Find the sky of a photo: (H, W) bool.

    photo: (H, W, 3) uint8. depth: (H, W), 0 = none. votes: (h, w) of `count_surfaces`. Empty where no surface is known,
    and where nothing calm reaches the picture's border above all surfaces.
    """
    small = _small(camera)
    size = small.width, small.height
    pixels = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    own = np.asarray(Image.fromarray((depth > 0).astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0.5
    rise = small.ray_directions()[..., 2]
    surface, core = _surfaces(own | (votes >= MIN_VOTES), rise < 0)
    above = _above_all(small, core)
    colors = Colors.of(pixels)
    empty = above & ~surface
    if not empty.any() or not core.any():
        return np.zeros(photo.shape[:2], bool)
    calm = max(CALM, NOISE * np.quantile(colors.roughness[empty], 0.2))
    seed = _seed(pixels, empty & (colors.roughness < calm))
    if not seed.any():
        return np.zeros(photo.shape[:2], bool)
    other = core | (rise < 0)
    place = np.where(above, ABOVE, UNDER) + VOTE * votes
    sky, rest = seed, other
    for _ in range(ROUNDS):
        color = colors.log_odds(sky, rest)
        probability = np.where(other, 0, 1 / (1 + np.exp(-color - place)))
        factors = guided(pixels / 255, probability)
        probability = np.where(other, 0, apply(factors, pixels / 255))
        found = _joined(probability > 0.5, seed, color, above)
        if not found.any():
            return np.zeros(photo.shape[:2], bool)
        sky, rest = found & (probability > SURE), probability < 1 - SURE
    clouds = _clouds(found, surface | ~above, colors.opponent[..., 0])
    return _at_full_size(photo, factors, found, other) | (_enlarged(clouds, photo.shape) > 0.5)


def _surfaces(matched: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) bool each: the surfaces without specks, and what is well inside those that are certain.

    matched, below: (H, W) bool, pixels with a depth, and beneath the horizon. A patch in the air is not certain: it may
    be a flag or a cloud at a wrong depth.
    """
    _, size = _components(matched)
    surface = _eroded(_dilated(matched & (size >= SPECK * matched.size), GAP), GAP)
    pieces, size = _components(surface)
    grounded = np.isin(pieces, np.unique(pieces[below & surface]))
    certain = surface & (grounded | (size >= PATCH * matched.size))
    return surface, _eroded(certain, MARGIN)


def _above_all(camera: Camera, core: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels above the horizon with nothing of `core` between them and the zenith, nor at them."""
    rays = camera.ray_directions()
    turn = ((np.arctan2(rays[..., 0], rays[..., 1]) / (2 * np.pi) + 0.5) * BINS).astype(int) % BINS
    highest = np.zeros(BINS, np.float32)  # of the core, in each direction; the horizon at least
    np.maximum.at(highest, turn[core], rays[..., 2][core])
    return rays[..., 2] > ndimage.maximum_filter1d(highest, 3, mode="wrap")[turn]


def _seed(pixels: np.ndarray, calm: np.ndarray) -> np.ndarray:
    """(H, W) bool: the parts of `calm`, (H, W) bool, that reach the picture's border or a frame at it."""
    frame = _dilated((pixels.max(axis=-1) < BLACK) | (pixels.min(axis=-1) >= WHITE), FRAME)
    joined, _ = ndimage.label(calm | frame)
    at_border = np.unique(np.concatenate([joined[:2].ravel(), joined[:, :2].ravel(), joined[:, -2:].ravel()]))
    reaching = (joined > 0) & np.isin(joined, at_border)
    pieces, size = _components(ndimage.binary_opening(calm))
    return (size >= SMALLEST * calm.size) & np.isin(pieces, np.unique(pieces[reaching & (pieces > 0)]))


def _joined(found: np.ndarray, seed: np.ndarray, color: np.ndarray, above: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pieces of `found` that hold a part of the seed, or are above all and of the sky's colour."""
    pieces, _ = ndimage.label(found)
    numbers = np.arange(pieces.max() + 1)
    held, alike, free = (ndimage.mean(values, pieces, numbers) for values in (seed, color, above))
    good = (held > 0) | ((alike > ALIKE) & (free > 0.5))
    return found & good[pieces]


def _clouds(found: np.ndarray, firm: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """(H, W) bool: the holes of the sky that touch nothing firm and are brighter than it; flags are darker."""
    holes, _ = ndimage.label(~found)
    numbers = np.arange(holes.max() + 1)
    touching, light = (ndimage.mean(values, holes, numbers) for values in (firm, brightness))
    good = (touching == 0) & (light > brightness[found].mean()) & (numbers > 0)
    return _dilated(good[holes], EDGE)


def _at_full_size(photo: np.ndarray, factors: np.ndarray, found: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(H, W) bool: the mask at the photo's size, along its edges."""
    large = np.stack([_enlarged(factors[..., k], photo.shape) for k in range(4)], axis=-1)
    sky = apply(large, photo / np.float32(255)) > 0.5
    return sky & (_enlarged(_dilated(found, EDGE), photo.shape) > 0.5) & (_enlarged(other, photo.shape) < 0.5)


def _enlarged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) float32 of the size that `shape` begins with, bilinear."""
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) each: the number of the connected piece of an (H, W) bool, 0 = none, and the piece's size, pixels."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces, sizes[pieces]


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool: what is farther than `radius` inside; beyond the border the picture goes on."""
    padded = np.pad(mask, radius + 1, mode="edge")
    distance = ndimage.distance_transform_edt(padded) if not padded.all() else np.full(padded.shape, np.inf)
    return distance[radius + 1 : -radius - 1, radius + 1 : -radius - 1] > radius


def _dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool: what is at most `radius` outside."""
    return ~_eroded(~mask, radius)
