"""Where photos show the ground plane, without label maps: nothing hides it, and the photos agree on its colours.

The plane is divided into cells. Each photo votes for the cells that it may show: below the horizon, with no surface at
the pixel, and none between the camera and the plane in the same direction. Cells that something stands on are left
out. The cells' colours are averaged over the photos, as a map of the ground; a photo shows the ground where its colours
are those of the map. People, cars and fountains are not: each photo has them elsewhere on the plane. Maps of a plane
somewhat higher and of one somewhat lower must not fit the photos better.
"""

import logging
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.ndimage import uniform_filter

from nrw.geometry.cameras import Camera
from nrw.mvs.ground_plane import Plane
from nrw.mvs.sources import MIN_FALL
from nrw.mvs.workspace import Workspace, read_keep, read_map

logger = logging.getLogger(__name__)

# heights and lengths are in eye heights: the median height of the cameras above the plane
MIN_ABOVE = 0.8  # share of the cameras that must be above the plane, else it is none
LOW = 3.0  # height of the cameras around which the map extends
CELL = 0.2  # side of a cell
MAX_CELLS = 1_000_000  # of the map; a larger one has larger cells
STANDS = 0.15  # height from which on a point stands on the plane,
TALL = 4.0  # and up to which it tells the cell that it stands on; higher ones may overhang
SUNK = 0.5  # depth from which on a patch of surface says that the ground is lower there
SHIFT = 0.3  # by which the plane is raised and lowered, to see whether the photos agree less
REFUTED = 1.0  # times the photos' disagreement on a shifted plane: more refutes the plane
STEP = 4  # rows and columns of the pixels that are compared for that
STANDING = 2  # photos that must have a surface on a cell
SEEN_BY = 2  # photos that must show a cell
PATCH = 1e-3  # of the picture: smaller patches of surface are strays
MARGIN = 0.05  # relative: the ground ends this much before a surface
TURNS, RISES = 1440, 720  # directions that are told apart: quarters of a degree
BLUR = 3  # pixels of the photo in a colour
MIN_PIXELS = 200  # that a photo must show of the plane
BROADEST, DARKEST = 30.0, 6.0  # of 255: the limit of the spread of a photo's colours, and what is added to it
EXTREME = 4.0  # spreads, to which colours are limited
FAR = 10.0  # depth from which on a photo's colours count much less: a pixel covers several cells
DOUBT = 0.5  # squared spreads: colours that differ by more from the map count half
ALIKE = 0.8  # spreads: mean difference from the map up to which a photo shows the ground
WINDOW, CLOSED = 7, 15  # pixels: windows of the mean difference, and in which the majority of pixels decides


@dataclass(frozen=True)
class Look:
    """How a photo sees the plane. free: (H, W) bool, pixels at which nothing hides it. colors: (H, W, 3) float32, in
    spreads from the median of the free pixels.
    """

    camera: Camera
    free: np.ndarray
    colors: np.ndarray


@dataclass
class GroundMap:
    """Colours of a plane's cells. corner: (2,), world, of the first cell. cell: side of a cell, world units.

    total: (Y, X, 4) float32, weighted sum of the colours, and of the weights. count: (Y, X), photos that show a cell.
    """

    plane: Plane
    corner: np.ndarray
    cell: float
    shape: tuple[int, int]
    total: np.ndarray = field(init=False)
    count: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros((*self.shape, 4), np.float32)
        self.count = np.zeros(self.shape, np.uint16)

    @property
    def colors(self) -> np.ndarray:
        """(Y, X, 3) float32, 0 where no photo shows the cell."""
        return self.total[..., :3] / np.maximum(self.total[..., 3:], 1e-6)

    def cells_of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and whether it is on the map, (...) each, of the cell beneath points (..., 3)."""
        place = np.floor((points[..., :2] - self.corner) / self.cell)
        inside = np.all((place >= 0) & (place < self.shape[::-1]), axis=-1)
        column, row = np.moveaxis(np.where(inside[..., None], place, 0).astype(int), -1, 0)
        return row, column, inside

    def add(self, look: Look, eye: float, known: np.ndarray | None = None) -> None:
        """Add the colours that a photo shows at the middles of the cells.

        known: (Y, X, 3), colours from which those of a photo should not differ: Cauchy's weights.
        """
        camera = look.camera
        reach = float(self.plane.height(camera.center)) / MIN_FALL
        first = np.floor((camera.center[:2] - reach - self.corner) / self.cell).astype(int).clip(0)
        last = np.ceil((camera.center[:2] + reach - self.corner) / self.cell).astype(int).clip(0, self.shape[::-1])
        ranges = (np.arange(start, stop) for start, stop in zip(first, last, strict=True))
        column, row = (axis.ravel() for axis in np.meshgrid(*ranges))
        x, y = self.corner[:, None] + self.cell * (np.stack([column, row]) + 0.5)
        normal = self.plane.normal
        z = (self.plane.offset - normal[0] * x - normal[1] * y) / normal[2]
        pixels, depth = camera.project(np.column_stack([x, y, z]))
        seen = np.flatnonzero(camera.contains(pixels, depth))
        at = tuple(pixels[seen].astype(int).T[::-1])
        shown = look.free[at]
        seen, colors = seen[shown], look.colors[at][shown]
        row, column = row[seen], column[seen]
        weight = 1 / (0.5 + (depth[seen] / (FAR * eye)) ** 2)
        if known is not None:
            weight /= 1 + np.mean((colors - known[row, column]) ** 2, axis=1) / DOUBT
        self.total[row, column] += np.column_stack([colors * weight[:, None], weight])
        self.count[row, column] += 1

    def compare(self, camera: Camera, colors: np.ndarray, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Squared difference of a photo's colours (H, W, 3) from the map, and the number of photos in it: (h, w) each.

        At every `step`-th pixel. The photo itself is part of the map: the difference is that from the others.
        """
        points = _lifted(camera, self.plane.depth(camera))[::step, ::step]
        row, column, inside = self.cells_of(points)
        count = np.where(inside, self.count[row, column].astype(int), 0)
        mean = self.total[row, column, :3] / np.maximum(self.total[row, column, 3:], 1e-6)
        difference = np.mean((colors[::step, ::step] - mean) ** 2, axis=-1)
        return difference * (count / np.maximum(count - 1, 1)) ** 2, count


@dataclass(frozen=True)
class Ground:
    """The ground. map: its colours. eye: eye height, world units. open: (Y, X) bool, cells that nothing stands on."""

    map: GroundMap
    eye: float
    open: np.ndarray

    def shown(self, workspace: Workspace, photo_id: str) -> np.ndarray:
        """Find the pixels of a photo that show the ground: (H, W) bool, whether they have a depth or not."""
        camera = workspace.cameras[photo_id]
        look = _look(workspace, photo_id, self.map.plane, self.eye)
        if look is None:
            return np.zeros((camera.height, camera.width), bool)
        difference, count = self.map.compare(camera, look.colors)
        row, column, inside = self.map.cells_of(_lifted(camera, self.map.plane.depth(camera)))
        possible = look.free & (count >= SEEN_BY) & inside & self.open[row, column]
        share = np.maximum(_box(possible, WINDOW), 1e-6)
        alike = possible & (_box(np.sqrt(difference) * possible, WINDOW) / share < ALIKE)
        return _patches(possible & (_box(alike, CLOSED) > 0.5 * _box(possible, CLOSED)))


def find_ground(workspace: Workspace, plane: Plane) -> Ground | None:
    """Make the map of the ground from all photos; None if the plane is not the ground.

    That is, if too many cameras are beneath it, or if the photos agree better on the colours of a plane somewhat higher
    or lower. (A lawn has the same colours at any height: there, only the matched points tell it.) Reads one photo and
    its depth map at a time, all of them twice.
    """
    heights = np.array([float(plane.height(camera.center)) for camera in workspace.cameras.values()])
    eye = float(np.median(heights))
    if np.mean(heights > 0) < MIN_ABOVE:
        logger.info("no ground: %d of %d cameras are above the plane", np.sum(heights > 0), len(heights))
        return None
    maps = [_empty_map(workspace, plane, eye, shift) for shift in (0, SHIFT, -SHIFT)]
    stood_on = np.zeros(maps[0].shape, np.uint16)
    for photo_id in workspace.cameras:
        stood_on += _stood_on(workspace, photo_id, maps[0], eye)
        look = _look(workspace, photo_id, plane, eye)
        if look is not None:
            for part in maps:
                part.add(look, eye)
    known, refined = maps[0].colors, _empty_map(workspace, plane, eye, 0)
    disagreement = np.zeros(len(maps))
    for photo_id in workspace.cameras:
        look = _look(workspace, photo_id, plane, eye)
        if look is not None:
            refined.add(look, eye, known)
            disagreement += _disagreement(maps, look)
    logger.info("disagreement of the photos on the ground: %.3g; on planes higher and lower: %.3g, %.3g", *disagreement)
    if not 0 < disagreement[0] < REFUTED * min(disagreement[1:]):
        return None
    return Ground(refined, eye, stood_on < STANDING)


def _empty_map(workspace: Workspace, plane: Plane, eye: float, shift: float) -> GroundMap:
    """A map of the plane, raised by `shift` eye heights: of what low cameras see of it before the horizon."""
    centers = np.array([camera.center for camera in workspace.cameras.values()])
    low = centers[plane.height(centers) < LOW * eye, :2]
    reach = eye / MIN_FALL
    first, last = np.percentile(low, 2, axis=0) - reach, np.percentile(low, 98, axis=0) + reach
    cell = max(CELL * eye, float(np.sqrt(np.prod(last - first) / MAX_CELLS)))
    columns, rows = np.ceil((last - first) / cell).astype(int).tolist()
    return GroundMap(Plane(plane.normal, plane.offset + shift * eye), first, cell, (rows, columns))


def _disagreement(maps: list[GroundMap], look: Look) -> np.ndarray:
    """(M,): summed squared differences of a photo from each map, at pixels where all of them know other photos."""
    compared = [part.compare(look.camera, look.colors, STEP) for part in maps]
    common = look.free[::STEP, ::STEP] & np.all([count >= SEEN_BY for _, count in compared], axis=0)
    return np.array([difference[common].sum() for difference, _ in compared])


def _look(workspace: Workspace, photo_id: str, plane: Plane, eye: float) -> Look | None:
    """How a photo sees the plane; None if it sees too little of it."""
    camera = workspace.cameras[photo_id]
    depth = read_map(workspace.depth_map(photo_id, "geometric"))
    on_plane = plane.depth(camera)
    free = _free(camera, depth, on_plane, plane, eye) & read_keep(workspace, None, photo_id, frozenset())
    if free.sum() < MIN_PIXELS:
        return None
    with Image.open(workspace.image(photo_id)) as image:
        colors = uniform_filter(np.asarray(image.convert("RGB"), np.float32), (BLUR, BLUR, 1))
    middle = np.median(colors[free], axis=0)
    spread = np.minimum(1.4826 * np.median(np.abs(colors[free] - middle), axis=0), BROADEST) + DARKEST
    colors = np.clip((colors - middle) / spread, -EXTREME, EXTREME)
    return Look(camera, free, colors.astype(np.float32))


def _free(camera: Camera, depth: np.ndarray, on_plane: np.ndarray, plane: Plane, eye: float) -> np.ndarray:
    """(H, W) bool: pixels that nothing known keeps from showing the plane.

    depth: (H, W) of the photo, 0 = none. on_plane: (H, W) of the plane. In the same direction from the camera, the
    plane ends before the first surface that stands higher in the picture: behind it, the pixel shows that surface's
    foot. It also ends before a patch of surface that lies deeper than the plane.
    """
    rays = camera.ray_directions()
    flat = np.hypot(rays[..., 0], rays[..., 1])
    across = flat / (rays @ camera.rotation[2])  # horizontal distance per depth
    height = np.where(depth > 0, plane.height(_lifted(camera, depth)), 0)
    turn = ((np.arctan2(rays[..., 0], rays[..., 1]) / (2 * np.pi) + 0.5) * TURNS).astype(int) % TURNS
    rise = ((np.arctan2(rays[..., 2], flat) / np.pi + 0.5) * RISES).astype(int).clip(0, RISES - 1)

    stands = _patches(height > STANDS * eye)
    nearest = np.full((TURNS, RISES), np.inf)
    np.minimum.at(nearest, (turn[stands], rise[stands]), (depth * across)[stands])
    nearest = np.minimum.accumulate(nearest[:, ::-1], axis=1)[:, ::-1]  # of all that stands as high or higher
    sunk = _patches(height < -SUNK * eye)
    deeper = np.zeros((TURNS, RISES), bool)
    deeper[turn[sunk], rise[sunk]] = True
    deeper = np.logical_or.accumulate(deeper, axis=1)
    before = on_plane * across < (1 - MARGIN) * nearest[turn, rise]
    return (on_plane > 0) & before & ~deeper[turn, rise] & (np.abs(height) <= STANDS * eye)


def _stood_on(workspace: Workspace, photo_id: str, ground: GroundMap, eye: float) -> np.ndarray:
    """(Y, X) bool: the cells of the map above which the photo has points."""
    camera = workspace.cameras[photo_id]
    depth = read_map(workspace.depth_map(photo_id, "geometric"))
    points = _lifted(camera, depth)
    height = ground.plane.height(points) / eye
    row, column, inside = ground.cells_of(points)
    inside &= (depth > 0) & (height > STANDS) & (height < TALL)
    found = np.zeros(ground.shape, bool)
    found[row[inside], column[inside]] = True
    return found


def _lifted(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """(H, W, 3) world points at depths (H, W)."""
    rays = camera.ray_directions()
    return camera.center + rays * (depth / (rays @ camera.rotation[2]))[..., None]


def _box(values: np.ndarray, width: int) -> np.ndarray:
    return uniform_filter(values.astype(np.float32), width, mode="constant")


def _patches(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the connected pieces that are not too small."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return sizes[pieces] >= max(1, PATCH * mask.size)
