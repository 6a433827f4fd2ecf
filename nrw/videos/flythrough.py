"""The fly-through: a smooth, upright camera path past the registered cameras that keeps clear of the cloud.

World z is up; one unit is the median distance from the cameras to the scene.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from nrw.core.errors import UserError
from nrw.geometry.cameras import Camera, look_at

MAX_POINTS = 100_000  # points of the cloud used: enough to tell a wall from free space
NEIGHBOUR = 10  # distances are to the tenth nearest point, so that a stray point blocks no path
STRETCH = np.array([1.0, 1.0, 3.0])  # scales the axes: the ground below may be nearer than a wall ahead
CLEARANCE = 0.15  # units, target distance from path to cloud; less where the photographers stood nearer
MAX_GAP = 50.0  # degrees of azimuth without a camera at which the path ends
SECTOR = 12.0  # degrees of azimuth from one chosen view to the next
BAND = 160  # samples of the path during smoothing


def flythrough(
    cameras: Mapping[str, Camera],
    points: np.ndarray,
    *,
    n_frames: int,
    fps: float,
    max_speed: float,
    max_turn: float,
    width: int,
    height: int,
) -> list[Camera]:
    """Plan a smooth, upright path of `n_frames` cameras of `width` x `height` pixels past the registered cameras.

    The views that see the scene well are ordered by azimuth around it, and one is chosen every 12 degrees so that the
    route through all of them is short and turns little. Where the cloud separates two views, the route leads around it.
    The path is a cubic B-spline (twice continuously differentiable) travelled at constant speed, at most `max_speed`
    units per second and `max_turn` degrees per second at `fps` frames per second: of a longer route the middle part is
    flown. It looks at what the cameras nearby look at.

    cameras: id -> registered camera. points: (N, 3), of the cloud. Raises UserError with fewer than 2 usable cameras,
    or where the cloud encloses them.
    """
    points = points[:: max(1, len(points) // MAX_POINTS)].astype(np.float64)
    tree = cKDTree(points * STRETCH)
    views = _supported_views(list(cameras.values()), points)
    away = _distance(tree, views.centers)
    clearance = float(np.clip(0.7 * np.quantile(away, 0.2), 0.01, CLEARANCE)) if len(away) else CLEARANCE
    views = views.subset(away >= clearance)
    if len(views.centers) < 2:
        raise UserError(
            f"a fly-through needs at least 2 registered cameras that see the cloud and stand clear of it; of "
            f"{len(cameras)} cameras {len(views.centers)} do; add photos, or give a camera path in a JSON file"
        )
    keys = _route(views.subset(_ordered_choice(views)), tree, clearance)
    if len(keys) < 2:
        raise UserError(
            "there is no way between the registered cameras that stays clear of the cloud: check mvs/cloud.ply for "
            "noise around the cameras, or give a camera path in a JSON file"
        )
    path = _constant_speed(_smooth(keys, tree, clearance))
    focal = np.median(views.focals) * np.hypot(width, height)

    max_step, max_angle = max_speed / fps, max_turn / fps  # per frame
    share = 1.0
    while True:  # a path that is too long for its frames is shortened until it keeps to both limits
        ends = 0.5 - share / 2, 0.5 + share / 2
        positions = path(np.linspace(*ends, n_frames))
        targets = _targets(views, positions, max(0.25, 0.15 * _length(keys)))
        poses = [look_at(position, target) for position, target in zip(positions, targets, strict=True)]
        step, angle = _largest_moves(poses)
        if step <= max_step and angle <= max_angle:
            break
        share *= min(0.999, max_step / max(step, 1e-9), max_angle / max(angle, 1e-9))
    return [Camera(width, height, focal, focal, width / 2, height / 2, pose) for pose in poses]


@dataclass(frozen=True)
class _Views:
    """Viewpoints that registered cameras suggest."""

    centers: np.ndarray  # (M, 3)
    targets: np.ndarray  # (M, 3) points looked at
    support: np.ndarray  # (M,) share of the cloud in the picture
    focals: np.ndarray  # (M,) in picture diagonals

    def subset(self, which: np.ndarray) -> "_Views":
        return _Views(self.centers[which], self.targets[which], self.support[which], self.focals[which])


def _supported_views(cameras: Sequence[Camera], points: np.ndarray) -> _Views:
    """Select the cameras that see much of the cloud from a usual distance, without outliers."""
    rows = []
    for camera in cameras:
        uv, depth = camera.project(points)
        seen = camera.contains(uv, depth)
        if seen.sum() < NEIGHBOUR:
            continue
        distance = np.median(depth[seen])
        focal = np.sqrt(camera.fx * camera.fy) / np.hypot(camera.width, camera.height)
        rows.append((camera.center, camera.center + distance * camera.rotation[2], seen.mean(), focal, distance))
    if not rows:
        return _Views(np.empty((0, 3)), np.empty((0, 3)), np.empty(0), np.empty(0))
    centers, targets, support, focals, distances = (np.array(column) for column in zip(*rows, strict=True))
    views = _Views(centers, targets, support, focals)
    far = np.linalg.norm(centers - np.median(centers, axis=0), axis=1)
    usual = (
        (support >= 0.3 * np.median(support))
        & (distances > np.median(distances) / 4)
        & (distances < np.median(distances) * 2)
        & (far <= 4 * np.median(far) + 1e-9)
    )
    return views.subset(usual)


def _ordered_choice(views: _Views) -> np.ndarray:
    """Choose the views to pass, as indices: one near each of evenly spaced azimuths, at the least cost (Viterbi)."""
    middle = np.median(views.targets, axis=0)
    offset = views.centers - middle
    azimuth = np.degrees(np.arctan2(offset[:, 1], offset[:, 0]))
    order = np.argsort(azimuth)
    gaps = np.diff(azimuth[order], append=azimuth[order[0]] + 360)
    order = np.roll(order, -(np.argmax(gaps) + 1))  # start after the largest gap
    sweep = (azimuth[order] - azimuth[order[0]]) % 360
    groups = np.cumsum(np.diff(sweep, prepend=0) > MAX_GAP)
    kept = groups == np.bincount(groups).argmax()
    order, sweep = order[kept], sweep[kept]
    low, high = np.quantile(sweep, [0.03, 0.97])
    away = np.linalg.norm(offset[order], axis=1)
    if np.radians(high - low) * np.median(away) < np.ptp(away) / 2:  # all in one direction
        return order[[away.argmax(), away.argmin()]]
    stations = np.linspace(low, high, max(2, round((high - low) / SECTOR) + 1))
    nearest = np.abs(sweep[:, None] - stations).argmin(axis=1)
    columns = [order[nearest == station] for station in np.unique(nearest)]
    view_cost = np.zeros(len(azimuth))
    view_cost[order] = 0.3 * (1 - views.support[order] / views.support.max())
    view_cost[order] += 4 * np.radians(sweep - stations[nearest]) ** 2
    view_cost[order] += np.log2(away / np.median(away)) ** 2  # else the shortest route would hug the scene

    cost, came_from = view_cost[columns[0]], []
    for before, here in pairwise(columns):
        move = np.linalg.norm(views.centers[before, None] - views.centers[here], axis=2) ** 2
        turn = np.linalg.norm(views.targets[before, None] - views.targets[here], axis=2) ** 2
        total = cost[:, None] + move + turn  # (before, here)
        came_from.append(total.argmin(axis=0))
        cost = total.min(axis=0) + view_cost[here]
    choice = [int(cost.argmin())]
    for column in reversed(came_from):
        choice.append(int(column[choice[-1]]))
    return np.array([column[index] for column, index in zip(columns, reversed(choice), strict=True)])


def _distance(tree: cKDTree, positions: np.ndarray) -> np.ndarray:
    """Distance (M,) of positions (M, 3) to the tenth nearest point of the cloud, with heights stretched."""
    return tree.query(positions * STRETCH, k=[min(NEIGHBOUR, tree.n)])[0][:, 0]


def _is_free(tree: cKDTree, a: np.ndarray, b: np.ndarray, clearance: float) -> bool:
    n = int(np.ceil(np.linalg.norm(b - a) / (clearance / 2))) + 2
    return bool((_distance(tree, np.linspace(a, b, n)) >= 0.9 * clearance).all())


def _route(views: _Views, tree: cKDTree, clearance: float) -> np.ndarray:
    """Connect the views by a route clear of the cloud: its corners (K, 3). Views that it cannot reach are left out."""
    corners = [views.centers[0]]
    for center in views.centers[1:]:
        if _is_free(tree, corners[-1], center, clearance):
            corners.append(center)
        else:
            corners.extend(_around(tree, corners[-1], center, clearance))
    return np.array(corners)


def _around(tree: cKDTree, start: np.ndarray, end: np.ndarray, clearance: float) -> list[np.ndarray]:
    """Find the shortest route from `start` to `end` through free cells of a grid (Dijkstra).

    Returns its corners after `start`; none where there is no route.
    """
    length = np.linalg.norm(end - start)
    low, high = np.minimum(start, end) - 0.75 * length, np.maximum(start, end) + 0.75 * length
    low[2] = min(start[2], end[2]) - 0.25 * clearance  # over obstacles, never under the ground
    cell = max(0.6 * clearance, float((high - low).max()) / 48)
    shape = np.ceil((high - low) / cell).astype(int) + 1
    nodes = low + cell * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    free = (_distance(tree, nodes) >= clearance + cell / 2).reshape(shape)
    number = np.arange(free.size).reshape(shape)
    rows, columns, weights = [], [], []
    for step in np.ndindex(3, 3, 3):
        offset = np.array(step) - 1
        if tuple(offset) <= (0, 0, 0):
            continue  # each pair of neighbours once
        here = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))
        both = free[here] & free[there]
        rows.append(number[here][both])
        columns.append(number[there][both])
        # climbing costs double: a path at eye level is better than one over the roof
        weights.append(np.full(both.sum(), cell * np.linalg.norm(offset * [1, 1, 2])))
    graph = coo_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=[free.size] * 2)
    open_nodes = np.flatnonzero(free)
    if len(open_nodes) == 0:
        return []
    first, last = (open_nodes[np.linalg.norm(nodes[open_nodes] - point, axis=1).argmin()] for point in (start, end))
    cost, previous = dijkstra(graph.tocsr(), directed=False, indices=first, return_predecessors=True)
    if not np.isfinite(cost[last]):
        return []
    way = [last]
    while way[-1] != first:
        way.append(previous[way[-1]])
    return [*nodes[way[::-1]], end]


def _length(corners: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())


def _resampled(corners: np.ndarray, n: int) -> np.ndarray:
    """Sample (n, 3) points at equal distances along a polyline (K, 3)."""
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0, travelled[-1], n)
    return np.stack([np.interp(at, travelled, axis) for axis in corners.T], axis=1)


def _smooth(corners: np.ndarray, tree: cKDTree, clearance: float) -> np.ndarray:
    """Round the corners of the route: (BAND, 3) samples, each pulled to its neighbours unless that nears the cloud.

    300 iterations blur with a standard deviation of sqrt(300 / 2) samples, a twelfth of the route.
    """
    band = _resampled(corners, BAND)
    for _ in range(300):
        moved = band.copy()
        moved[1:-1] += 0.25 * (band[:-2] - 2 * band[1:-1] + band[2:])
        blocked = _distance(tree, moved) < np.minimum(clearance, _distance(tree, band))
        moved[blocked] = band[blocked]
        band = moved
    return band


def _constant_speed(band: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a cubic B-spline with every fourth sample as control point, parametrised by the share of its length."""
    control = band[np.linspace(0, len(band) - 1, len(band) // 4).round().astype(int)]
    knots = np.concatenate([[0] * 3, np.linspace(0, 1, len(control) - 2), [1] * 3])
    curve = BSpline(knots, control, 3)
    dense = np.linspace(0, 1, 20 * len(band))
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve(dense), axis=0), axis=1))])
    if travelled[-1] == 0:
        return curve
    return lambda share: curve(np.interp(share, travelled / travelled[-1], dense))


def _targets(views: _Views, positions: np.ndarray, radius: float) -> np.ndarray:
    """Choose what to look at from positions (n, 3): the views' mean target (n, 3), weighted by nearness and support."""
    squared = ((positions[:, None] - views.centers) ** 2).sum(axis=2)  # (n, M)
    exponent = -squared / (2 * radius**2)
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True)) * views.support
    return weights @ views.targets / weights.sum(axis=1, keepdims=True)


def _largest_moves(poses: Sequence[np.ndarray]) -> tuple[float, float]:
    """Measure the largest translation (units) and rotation (degrees) between successive poses."""
    rotations = Rotation.from_matrix(np.array(poses)[:, :, :3])
    centers = np.array([-pose[:, :3].T @ pose[:, 3] for pose in poses])
    if len(poses) < 2:
        return 0.0, 0.0
    turns = np.degrees((rotations[1:] * rotations[:-1].inv()).magnitude())
    return float(np.linalg.norm(np.diff(centers, axis=0), axis=1).max()), float(turns.max())
