"""Videos of a trained scene: a fly-through, one view in several appearances, both together, and camera path files."""

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nrw.config.choices import VIDEO_KINDS
from nrw.core.errors import UserError
from nrw.core.limits import SIDE_MULTIPLE
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset, known_camera
from nrw.geometry.cameras import Camera, fit_size, fitted
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import Geometry, rasterize
from nrw.scene import editing
from nrw.videos import camera_paths
from nrw.videos.flythrough import flythrough as plan_flythrough
from nrw.videos.writer import write_video

if TYPE_CHECKING:
    from nrw.scene.model import SceneModel
    from nrw.scene.views import Views

MAX_PHOTOS = 256  # photos that appearances and views are chosen from
PREVIEW = 160  # pixels: longer side of the views that are compared
WELL_COVERED = 0.7  # of the best score (`best_covered`): a view that the joint video may visit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """One frame of a video, not drawn yet.

    appearance: (Z,) float32. photos: shares of the photos that it is of, by id; their skies are shown.
    """

    camera: Camera
    appearance: torch.Tensor
    photos: Mapping[str, float]


def film(
    kind: str,
    model: "SceneModel",
    dataset: PackedDataset,
    views: "Views | None",
    settings: Mapping,
    out_mp4: Path | str,
) -> None:
    """Write the video `kind` to `out_mp4`, and its poster beside it as PNG.

    kind: flythrough, appearance, joint, or a name in settings["extra"]. views: of the
    scene; None for a data set without a cloud, of which only `appearance` can be made. settings: section
    `videos` of the configuration. Raises UserError for an unknown kind and for one that needs a cloud.
    """
    extra = settings["extra"]
    if kind not in VIDEO_KINDS and kind not in extra:
        raise UserError(f"video {kind!r} is neither one of {', '.join(VIDEO_KINDS)} nor named in videos.extra")
    if views is None:
        if kind != "appearance":
            raise UserError(f"video {kind}: this data set has no point cloud, only the video `appearance` can be made")
        frames = packed_appearance(model, dataset, settings)
        count = _count(settings["appearance"]["seconds"], settings["fps"])
        write_video(out_mp4, progress(frames, count, kind), settings["fps"])
        return
    fps, edit = settings["fps"], edit_of(model, dataset, settings["edit"])
    if kind == "flythrough":
        shots = flythrough(model, dataset, views.cloud, settings)
    elif kind == "appearance":
        shots = appearance(model, dataset, views.geometry, settings)
    elif kind == "joint":
        shots = joint(model, dataset, views.geometry, settings)
    else:
        shots, fps = from_path(model, dataset, extra[kind]["path"])
    frames = draw(views, shots, side_by_side=settings["side_by_side"], edit=edit)
    write_video(out_mp4, progress(frames, len(shots), kind), fps)


def draw(
    views: "Views",
    shots: Iterable[Shot],
    *,
    side_by_side: bool = False,
    edit: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Draw the shots one by one as (H, W, 3) uint8; `side_by_side` puts the raw render to the left of each picture.

    edit: (256,) uint8, the replacement of each predicted label (`scene.editing`). Successive shots of one camera share
    what does not depend on the light.
    """
    camera, seen = None, None
    for shot in shots:
        if seen is None or shot.camera is not camera:
            camera, seen = shot.camera, views.see(shot.camera)
        picture = views.draw(seen, shot.appearance, edit, shot.photos)
        yield np.concatenate([views.raw(seen), picture], axis=1) if side_by_side else picture


def edit_of(model: "SceneModel", dataset: PackedDataset, replacements: Mapping[str, str]) -> np.ndarray | None:
    """Build the table of `scene.editing` for views whose labels are predicted. Raises UserError as `editing.table`."""
    predicted = None if model.completion is None else model.completion.labels.tolist()
    return editing.table(replacements, dataset.meta, predicted)


def flythrough(model: "SceneModel", dataset: PackedDataset, cloud: Cloud, settings: Mapping) -> list[Shot]:
    """Plan a flight past the registered cameras, in the most typical appearance."""
    entry, (width, height) = settings["flythrough"], wide(settings["size"])
    cameras = plan_flythrough(
        {photo_id: known_camera(dataset.view(photo_id)) for photo_id in dataset.ids},
        cloud.points,
        n_frames=_count(entry["seconds"], settings["fps"]),
        fps=settings["fps"],
        max_speed=entry["max_speed"],
        max_turn=entry["max_turn"],
        width=width,
        height=height,
    )
    codes = encode(model, dataset, sample(dataset.train_ids))
    chosen = typical(codes)
    return [Shot(camera, codes[chosen], {chosen: 1.0}) for camera in cameras]


def appearance(model: "SceneModel", dataset: PackedDataset, geometry: Geometry, settings: Mapping) -> list[Shot]:
    """Plan the view that shows the scene best, through the appearances of diverse photos and back to the first."""
    cameras = cameras_of(dataset)
    camera = cameras[next(iter(best_covered(cameras, geometry)))]
    camera = fitted(camera, *_within(camera.width, camera.height, settings["size"]))
    return [Shot(camera, z, photos) for z, photos in _appearance_loop(model, dataset, settings)]


def packed_appearance(model: "SceneModel", dataset: PackedDataset, settings: Mapping) -> Iterator[np.ndarray]:
    """Draw the frames of `appearance` for a set without a cloud, from the packed buffer of the best covered photo."""
    view = dataset.view(max(sample(dataset.ids), key=lambda photo_id: (dataset.view(photo_id).depth[0] > 0).mean()))
    edit = edit_of(model, dataset, settings["edit"])
    for z, _ in _appearance_loop(model, dataset, settings):
        yield model.render_view(view, z, predict_labels=model.completion is not None, edit=edit)


def joint(model: "SceneModel", dataset: PackedDataset, geometry: Geometry, settings: Mapping) -> list[Shot]:
    """Plan a short tour of diverse, well covered photos that changes viewpoint and appearance together."""
    entry, size = settings["joint"], wide(settings["size"])
    cameras = {photo_id: fitted(camera, *size) for photo_id, camera in cameras_of(dataset).items()}
    scores = best_covered(cameras, geometry)
    good = [photo_id for photo_id, score in scores.items() if score >= WELL_COVERED * max(scores.values())]
    candidates = good if len(good) > entry["photos"] else list(scores)[: entry["photos"]]
    codes = encode(model, dataset, candidates)
    centers = {photo_id: cameras[photo_id].center for photo_id in candidates}
    features = [_standardized(np.array(list(values.values()))) for values in (centers, codes)]
    chosen = [candidates[i] for i in farthest(np.concatenate(features, axis=1), entry["photos"])]
    chosen = short_tour(chosen, centers, closed=False)
    logger.info("joint: photos %s", ", ".join(chosen))
    return joint_shots(
        [cameras[photo_id] for photo_id in chosen],
        chosen,
        codes,
        _count(entry["seconds"], settings["fps"]),
        size,
    )


def joint_shots(
    cameras: Sequence[Camera],
    ids: Sequence[str],
    codes: Mapping[str, torch.Tensor],
    n_frames: int,
    size: tuple[int, int],
) -> list[Shot]:
    """Move from view to view and from light to light, resting at each: `n_frames` shots of `size` (width, height).

    ids: of the photos whose lights they are, one per camera. codes: of photos.
    """
    shots = []
    marks = np.linspace(0, n_frames - 1, len(cameras)).round().astype(int)
    for i, n in enumerate(np.diff(marks) + 1):
        moved = camera_paths.joint(cameras[i], cameras[i + 1], int(n), size=size)
        lights = between(ids[i : i + 2], int(n))
        first = 0 if i == 0 else 1  # the last shot of a stretch is the first of the next
        shots += [
            Shot(camera, blended(photos, codes.__getitem__), photos)
            for camera, photos in zip(moved[first:], lights[first:], strict=True)
        ]
    return shots


def from_path(model: "SceneModel", dataset: PackedDataset, file: Path | str) -> tuple[list[Shot], float]:
    """Read the shots of a camera path file, and its frame rate. Raises UserError for photos that are not in the set."""
    path = camera_paths.read_path(file)
    named = sorted({photo_id for weights in path.appearances if weights for photo_id in weights})
    unknown = [photo_id for photo_id in named if photo_id not in dataset.ids]
    if unknown:
        raise UserError(
            f"camera path {file}: photos {', '.join(unknown)} are not in the data set; "
            f"it has {len(dataset)} photos, {dataset.ids[0]} to {dataset.ids[-1]}"
        )
    codes = encode(model, dataset, named)
    default: dict[str, float] = {}
    if None in path.appearances:
        others = encode(model, dataset, sample(dataset.train_ids))
        default = {typical(others): 1.0}
        codes |= others
    shots = []
    for camera, weights in zip(path.cameras, path.appearances, strict=True):
        photos = default if weights is None else weights
        shots.append(Shot(camera, blended(photos, codes.__getitem__), photos))
    return shots, path.fps


def encode(model: "SceneModel", dataset: PackedDataset, ids: Sequence[str]) -> dict[str, torch.Tensor]:
    """Encode the appearance (Z,) of each photo."""
    return {photo_id: model.encode(dataset.view(photo_id)) for photo_id in ids}


def blended(weights: Mapping[str, float], code: Callable[[str], torch.Tensor]) -> torch.Tensor:
    """Blend appearances (Z,). weights: by photo id. code: the appearance of a photo."""
    return reduce(torch.add, (weight * code(photo_id) for photo_id, weight in weights.items()))


def typical(codes: Mapping[str, torch.Tensor]) -> str:
    """Choose the medoid: the photo whose code has the least sum of distances to the others."""
    table = torch.stack(list(codes.values()))
    return list(codes)[int(torch.cdist(table, table).sum(dim=1).argmin())]


def diverse(codes: Mapping[str, torch.Tensor], n: int) -> list[str]:
    """Choose `n` photos whose codes lie far apart, in the order of a short round tour, without the outermost tenth."""
    middle = codes[typical(codes)]
    by_distance = sorted(codes, key=lambda photo_id: float((codes[photo_id] - middle).norm()))
    inner = by_distance[: max(n, math.ceil(0.9 * len(codes)))]
    places = {photo_id: codes[photo_id].numpy() for photo_id in inner}
    chosen = [inner[i] for i in farthest(np.array(list(places.values())), n)]
    return short_tour(chosen, places, closed=True)


def farthest(features: np.ndarray, n: int) -> list[int]:
    """Sample farthest points: indices of `n` rows of features (M, D), starting with the row nearest to the mean."""
    chosen = [int(np.linalg.norm(features - features.mean(axis=0), axis=1).argmin())]
    distance = np.linalg.norm(features - features[chosen[0]], axis=1)
    while len(chosen) < min(n, len(features)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return chosen


def short_tour(ids: Sequence[str], places: Mapping[str, np.ndarray], *, closed: bool) -> list[str]:
    """Order the ids so that the tour is short; `closed` includes the way back to the first, which then stays first.

    A nearest-neighbour tour, improved by reversing parts of it (2-opt).
    """

    def length(order: list[str]) -> float:
        legs = itertools.pairwise([*order, order[0]] if closed else order)
        return sum(float(np.linalg.norm(places[a] - places[b])) for a, b in legs)

    tour, rest = [ids[0]], list(ids[1:])
    while rest:
        tour.append(min(rest, key=lambda photo_id: np.linalg.norm(places[photo_id] - places[tour[-1]])))
        rest.remove(tour[-1])
    improved = True
    while improved:
        improved = False
        for i, j in itertools.combinations(range(1 if closed else 0, len(tour)), 2):
            other = tour[:i] + tour[i : j + 1][::-1] + tour[j + 1 :]
            if length(other) < length(tour) - 1e-9:
                tour, improved = other, True
    return tour


def between(ids: Sequence[str], n: int) -> list[dict[str, float]]:
    """Go from the light of the first photo to that of the last in `n` steps, resting at each: their shares by id."""
    marks = np.linspace(0, n - 1, len(ids)).round().astype(int)
    shares = [{ids[0]: 1.0}]
    for (a, b), count in zip(itertools.pairwise(ids), np.diff(marks) + 1, strict=True):
        for t in camera_paths.smoothstep(int(count))[1:]:
            shares.append(camera_paths.blend({a: 1.0}, {b: 1.0}, float(t)))
    return shares


def cameras_of(dataset: PackedDataset) -> dict[str, Camera]:
    """Cameras of at most MAX_PHOTOS photos, by id."""
    return {photo_id: known_camera(dataset.view(photo_id)) for photo_id in sample(dataset.ids)}


def best_covered(cameras: Mapping[str, Camera], geometry: Geometry) -> dict[str, float]:
    """Rank views by how well they show a scene: much of it, large, and without gaps. Their scores, the best first.

    The score is the share of points in view, times the square root of the share of pixels covered, times the square of
    the share covered below the skyline (the highest covered pixel of each column), where a gap cannot be sky.
    """
    points = geometry.points[:: max(1, len(geometry.points) // 20_000)].cpu().numpy()
    scores = {}
    for name, camera in cameras.items():
        shown = camera.contains(*camera.project(points)).mean()
        covered = rasterize(geometry, camera.resized(*fit_size(camera.width, camera.height, PREVIEW))).hit
        beneath = covered.cummax(dim=0).values
        unbroken = covered.sum() / beneath.sum().clamp(min=1)
        scores[name] = float(shown) * float(covered.float().mean().sqrt() * unbroken**2)
    return dict(sorted(scores.items(), key=lambda entry: (-entry[1], entry[0])))


def _appearance_loop(
    model: "SceneModel", dataset: PackedDataset, settings: Mapping
) -> list[tuple[torch.Tensor, dict[str, float]]]:
    """The codes of a round through diverse photos' lights, with the photos' shares."""
    entry = settings["appearance"]
    codes = encode(model, dataset, sample(dataset.train_ids))
    chosen = diverse(codes, entry["photos"])
    logger.info("appearance: photos %s", ", ".join(chosen))
    lights = between([*chosen, chosen[0]], _count(entry["seconds"], settings["fps"]))
    return [(blended(photos, codes.__getitem__), photos) for photos in lights]


def sample(ids: Sequence[str]) -> list[str]:
    """Select at most MAX_PHOTOS ids, evenly spaced."""
    if len(ids) <= MAX_PHOTOS:
        return list(ids)
    return [ids[i] for i in np.linspace(0, len(ids) - 1, MAX_PHOTOS).astype(int)]


def _standardized(features: np.ndarray) -> np.ndarray:
    """Shift and scale (M, D) to mean 0 and mean squared length 1."""
    centered = features - features.mean(axis=0)
    return centered / max(float(np.sqrt((centered**2).sum(axis=1).mean())), 1e-9)


def _count(seconds: float, fps: float) -> int:
    return max(2, round(seconds * fps))


def wide(size: int) -> tuple[int, int]:
    """Compute (width, height) in 16:9 with the longer side `size`, rounded to multiples of 8."""
    return _within(16, 9, size)


def _within(width: int, height: int, size: int) -> tuple[int, int]:
    """Scale a shape to the longer side `size`, rounded to multiples of 8."""
    scale = size / max(width, height) / SIDE_MULTIPLE
    width, height = (max(1, round(side * scale)) * SIDE_MULTIPLE for side in (width, height))
    return width, height
