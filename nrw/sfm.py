"""Structure from motion with COLMAP: SIFT features, cameras and sparse points (matches between them: `nrw.matching`).

The world that `reconstruct` leaves behind is upright and scaled: z points up, y the way the photos look on average, the
origin is the median of the sparse points, and one unit is the median over the photos of the median depth that they see.
"""

import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Sized
from pathlib import Path

import numpy as np
import pycolmap
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nrw.errors import UserError
from nrw.io import atomic_path, read_csv, write_json
from nrw.log import duration, progress
from nrw.matching import MIN_INLIERS

logger = logging.getLogger(__name__)
# COLMAP tells several lines about every photo and pair, and warns of every solver step that it recovers from; what
# became of each photo stands in the summary
pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value

MAPPERS = ("auto", "incremental", "global", "hierarchical")
MIN_PHOTOS = 3  # fewer registered photos do not make a scene
FEW_FEATURES = 100
MAX_STARTS = 3  # of the mapper: about one start in ten begins with an unlucky pair and ends with a fragment
FRAGMENT = 0.75  # a model with a smaller share of the photos that match one another is one
UNIT = "median over the registered photos of the median depth of the sparse points that each sees"


def extract_features(
    images_dir: Path | str,
    photos_csv: Path | str,
    database_out: Path | str,
    *,
    max_size: int,
    max_features: int,
    threads: int,
) -> None:
    """SIFT features of the photos marked `ok` in `photos_csv`, as a COLMAP database.

    Runs on the CPU; the result does not depend on `threads`.
    Each photo gets a SIMPLE_RADIAL camera of its own; where `photos_csv` has a focal length it is the camera's prior.
    max_size: pixels, longer side that SIFT sees. max_features: keypoints a photo, coarsest first (one with two
    orientations counts once, so that more rows can result).
    """
    photos = _photos(photos_csv)
    names = [_image_name(id) for id in photos]
    with atomic_path(database_out) as path:
        pycolmap.Database.open(path).close()
        # Images are entered before extraction, in order, because threads would number them in the order they finish in
        pycolmap.import_images(path, images_dir, pycolmap.CameraMode.PER_IMAGE, names)
        database = pycolmap.Database.open(path)
        for id, photo in photos.items():
            if photo["focal_px"]:
                camera = database.read_camera(database.read_image_with_name(_image_name(id)).camera_id)
                camera.focal_length = float(photo["focal_px"])
                camera.has_prior_focal_length = True
                database.update_camera(camera)
        database.close()

        options = pycolmap.FeatureExtractionOptions(use_gpu=False, num_threads=threads, max_image_size=max_size)
        options.sift.max_num_features = max_features
        for name_batch in progress(*_batches(names, 4 * threads), "features, batches of photos"):
            pycolmap.extract_features(
                path, images_dir, name_batch, pycolmap.CameraMode.PER_IMAGE, extraction_options=options
            )
        database = pycolmap.Database.open(path)
        logger.info("features: %d photos, %d keypoints", database.num_images(), database.num_keypoints())
        database.close()


def reconstruct(
    images_dir: Path | str,
    photos_csv: Path | str,
    database: Path | str,
    sparse_out: Path | str,
    summary_json: Path | str,
    summary_txt: Path | str,
    *,
    mapper: str,
    hierarchical_above: int,
    threads: int,
    reproducible: bool,
    seed: int,
) -> None:
    """Cameras and sparse points from verified matches: the largest model, upright and scaled, and its summary.

    mapper: `incremental`, `global` (faster; leaves unknown focal lengths near their guess), `hierarchical` (parts of at
    most `hierarchical_above` photos, mapped side by side and merged), or `auto`: hierarchical above
    `hierarchical_above` photos, incremental below. reproducible: one thread, and two runs give identical models; with
    several threads bundle adjustment sums in another order each time.
    summary_json: photos, registered, models [{photos, points, mean_reprojection_error (px), mean_track_length}] from
    the largest down, left_out [{id, file, reason}], scale (units of the result per unit of the mapper), unit.

    Raises UserError where fewer than 3 photos are registered, with the reason for each photo.
    """
    if mapper not in MAPPERS:
        raise UserError(f"sfm: mapper is {mapper!r}; choose one of {', '.join(MAPPERS)}")
    photos = _photos(photos_csv)
    start = time.monotonic()
    if mapper == "auto":
        mapper = "hierarchical" if len(photos) > hierarchical_above else "incremental"
    models = _best_models(images_dir, database, mapper, hierarchical_above, 1 if reproducible else threads, seed)
    left_out = _left_out(photos, database, models)
    registered = len(photos) - len(left_out)
    if registered < MIN_PHOTOS:
        raise UserError(_too_few(photos, left_out, mapper))

    scene = models[0]
    upright = upright_transform(scene)
    scene.transform(upright)
    summary = {
        "photos": len(photos),
        "registered": registered,
        "models": [
            {
                "photos": model.num_reg_images(),
                "points": model.num_points3D(),
                "mean_reprojection_error": round(model.compute_mean_reprojection_error(), 4),
                "mean_track_length": round(model.compute_mean_track_length(), 3),
            }
            for model in models
        ],
        "left_out": left_out,
        "scale": float(upright.scale),
        "unit": UNIT,
    }
    with atomic_path(sparse_out) as folder:
        folder.mkdir()
        scene.write(folder)
    with atomic_path(summary_txt) as path:
        path.write_text(summary_table(summary), encoding="utf-8")
    write_json(summary_json, summary)
    logger.info(
        "sfm: %d of %d photos registered, %d points, in %s",
        registered,
        len(photos),
        scene.num_points3D(),
        duration(time.monotonic() - start),
    )


def _best_models(
    images_dir: Path | str, database: Path | str, mapper: str, part_size: int, threads: int, seed: int
) -> list[pycolmap.Reconstruction]:
    """The models of the mapper, largest first; the best of up to 3 starts while the largest is a fragment."""

    def size(models: list[pycolmap.Reconstruction]) -> tuple[int, int]:
        return (models[0].num_reg_images(), models[0].num_points3D()) if models else (0, 0)

    connected, best = _count_connected(database), []
    for attempt in range(MAX_STARTS):
        models = _map(images_dir, database, mapper, part_size, threads, seed + attempt)
        models.sort(key=lambda model: (model.num_reg_images(), model.num_points3D()), reverse=True)
        best = max(best, models, key=size)
        if size(best)[0] >= FRAGMENT * connected:
            break
        logger.info(
            "sfm: start %d of %d placed %d of %d photos that match one another",
            attempt + 1,
            MAX_STARTS,
            *size(models)[:1],
            connected,
        )
    return best


def _count_connected(database: Path | str) -> int:
    """The number of photos in the largest group that verified pairs connect."""
    connection = pycolmap.Database.open(database)
    pair_ids, inliers = connection.read_two_view_geometry_num_inliers()
    connection.close()
    verified = [pair for pair, count in zip(pair_ids, inliers, strict=True) if count >= MIN_INLIERS]
    if not verified:
        return 0
    first, second = np.array([pycolmap.pair_id_to_image_pair(pair) for pair in verified]).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=[max(first.max(), second.max()) + 1] * 2)
    return int(np.bincount(connected_components(graph, directed=False)[1]).max())


def _map(
    images_dir: Path | str, database: Path | str, mapper: str, part_size: int, threads: int, seed: int
) -> list[pycolmap.Reconstruction]:
    """Run COLMAP's mapper; the models of at least 3 photos, in no particular order."""
    pycolmap.set_random_seed(seed)
    incremental = pycolmap.IncrementalPipelineOptions(min_model_size=MIN_PHOTOS, num_threads=threads, random_seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        if mapper == "incremental":
            models = pycolmap.incremental_mapping(
                database, images_dir, folder, incremental, next_image_callback=_Ticker("sfm: photos placed")
            )
        elif mapper == "global":
            options = pycolmap.GlobalPipelineOptions(
                min_model_size=MIN_PHOTOS, num_threads=threads, random_seed=seed, image_path=images_dir
            )
            options.mapper.global_positioning.use_gpu = False
            options.mapper.bundle_adjustment.ceres.use_gpu = False
            models = pycolmap.global_mapping(database, images_dir, folder, options)
        else:
            options = pycolmap.HierarchicalPipelineOptions(
                num_threads=threads, num_workers=threads, image_path=images_dir, incremental_options=incremental
            )
            options.clustering_options.leaf_max_num_images = part_size
            options.clustering_options.image_overlap = min(options.clustering_options.image_overlap, part_size // 2)
            models = pycolmap.hierarchical_mapping(database, images_dir, folder, options)
    return [model for model in models.values() if model.num_reg_images() >= MIN_PHOTOS]


class _Ticker:
    """A callback without arguments that logs how often it was called, every 15 s."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.last = what, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if time.monotonic() - self.last >= 15:
            self.last = time.monotonic()
            logger.info("%s: %d", self.what, self.count)


def upright_transform(reconstruction: pycolmap.Reconstruction) -> pycolmap.Sim3d:
    """The similarity new_from_old_world that makes the world that this module describes."""
    images = [image for _, image in sorted(reconstruction.images.items()) if image.has_pose]
    poses = np.stack([image.cam_from_world().matrix() for image in images])  # (N, 3, 4), rows: right, down, forward
    rotation = upright_rotation(poses[:, :, :3])

    xyz = {id: point.xyz for id, point in reconstruction.points3D.items()}
    depths = []
    for image, pose in zip(images, poses, strict=True):
        seen = [xyz[point.point3D_id] for point in image.get_observation_points2D()]
        if seen:
            depths.append(np.median(np.stack(seen) @ pose[2, :3] + pose[2, 3]))
    scale = 1 / np.median(depths)
    origin = np.median(np.stack(list(xyz.values())) @ rotation.T, axis=0)
    return pycolmap.Sim3d(scale, pycolmap.Rotation3d(rotation), -scale * origin)


def upright_rotation(cameras: np.ndarray) -> np.ndarray:
    """(3, 3) float64 new_from_old rotation of a world with z up, from the cameras' rotations (N, 3, 3) cam_from_world.

    People hold cameras level: the cameras' right vectors r lie in the horizontal plane, so that the vertical g
    minimises sum w (r·g)². Where all photos look the same way that leaves their common pitch open; a prior pulls g to
    the mean up vector, as strongly as one camera's roll (3°) against the set's pitch (15°). Geman-McClure weights
    (8°) take the few photos out that are rolled. x is the photos' mean right vector made horizontal.
    """
    right, up = cameras[:, 0], -cameras[:, 1]
    gravity = up.sum(0) / np.linalg.norm(up.sum(0))
    for _ in range(30):
        weights = 1 / (1 + ((right @ gravity) / np.sin(np.radians(8))) ** 2) ** 2
        mean_up = weights @ up
        mean_up /= np.linalg.norm(mean_up)
        cost = (right * weights[:, None]).T @ right + (3 / 15) ** 2 * (np.eye(3) - np.outer(mean_up, mean_up))
        gravity = np.linalg.eigh(cost)[1][:, 0]
        gravity *= np.sign(gravity @ mean_up)
    # a full circle of cameras has no mean: a trace of the first camera decides there
    x = weights @ right + 1e-6 * right[0]
    x -= (x @ gravity) * gravity
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(gravity, x), gravity])


def _left_out(
    photos: dict[str, dict[str, str]], database: Path | str, models: list[pycolmap.Reconstruction]
) -> list[dict[str, str]]:
    """For every photo that is not in the first (largest) model: {id, file, reason}."""
    connection = pycolmap.Database.open(database)
    image_ids = {Path(image.name).stem: image.image_id for image in connection.read_all_images()}
    features = {id: connection.num_keypoints_for_image(image_id) for id, image_id in image_ids.items()}
    matches = _by_image(*connection.read_num_matches())
    inliers = _by_image(*connection.read_two_view_geometry_num_inliers())
    connection.close()
    models = [{Path(model.images[id].name).stem for id in model.reg_image_ids()} for model in models]
    largest = {image_ids[id] for id in models[0]} if models else set()

    left_out = []
    for id, photo in photos.items():
        if id in image_ids and image_ids[id] in largest:
            continue
        raw = matches[image_ids[id]]
        verified = {other: count for other, count in inliers[image_ids[id]].items() if count >= MIN_INLIERS}
        placed = [count for other, count in verified.items() if other in largest]
        other_model = next((model for model in models[1:] if id in model), None)
        if not verified and features[id] < FEW_FEATURES:
            reason = f"{features[id] or 'no'} features: blurred, or without texture"
        elif not verified and not raw:
            reason = "no verified matches: no other photo shares a feature with it; does it show the place?"
        elif not verified:
            reason = (
                f"no verified matches: of {len(raw)} photos compared the best shares {max(raw.values(), default=0)} "
                f"features with it, but not {MIN_INLIERS} that agree on a geometry"
            )
        elif other_model:
            reason = f"matched, but in another model of {len(other_model)} photos"
        elif not placed:
            reason = f"matched with {_number(verified, 'photo')}, none of which was registered"
        else:
            reason = (
                f"matched with {_number(placed, 'registered photo')}, but its pose was not found "
                f"({max(placed)} inlier matches with the best of them)"
            )
        left_out.append({"id": id, "file": photo["file"], "reason": reason})
    return left_out


def _number(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _by_image(pair_ids: list[int], counts: list[int]) -> dict[int, dict[int, int]]:
    """Counts of pairs as image id -> {other image id: count}."""
    table = defaultdict(dict)
    for pair_id, count in zip(pair_ids, counts, strict=True):
        a, b = pycolmap.pair_id_to_image_pair(pair_id)
        table[a][b] = table[b][a] = count
    return table


def summary_table(summary: dict) -> str:
    """`summary.json` as a text for people."""
    lines = [f"{summary['registered']} of {summary['photos']} photos registered", ""]
    lines.append(f"{'model':>5} {'photos':>7} {'points':>8} {'error/px':>9} {'track':>6}")
    for number, model in enumerate(summary["models"]):
        lines.append(
            f"{number:>5} {model['photos']:>7} {model['points']:>8} {model['mean_reprojection_error']:>9.2f} "
            f"{model['mean_track_length']:>6.1f}{'  kept' if number == 0 else ''}"
        )
    lines += ["", f"world: z up, 1 unit = {summary['unit']}"]
    if summary["left_out"]:
        lines += ["", "left out:", *(_reason_line(photo) for photo in summary["left_out"])]
    return "\n".join(lines) + "\n"


def _reason_line(photo: dict[str, str]) -> str:
    return f"  {photo['id']}  {photo['file']!r}: {photo['reason']}"


def _too_few(photos: dict, left_out: list[dict[str, str]], mapper: str) -> str:
    advice = [
        "add photos that overlap: every part of the landmark on 3 or more, neighbours taken a few steps apart",
        "look at the verdicts in photos/photos.csv for photos that were left out before",
        "raise sfm: max_features and sfm: max_size",
    ]
    if mapper != "incremental":
        advice.append("set sfm: mapper to incremental")
    shown = [_reason_line(photo) for photo in left_out[:20]]
    if len(left_out) > 20:
        shown.append(f"  and {len(left_out) - 20} more")
    return "\n".join(
        [
            f"sfm: {len(photos) - len(left_out)} of {len(photos)} photos registered; a scene needs {MIN_PHOTOS}.",
            *shown,
            "What to try:",
            *(f"  - {line}" for line in advice),
        ]
    )


def _photos(photos_csv: Path | str) -> dict[str, dict[str, str]]:
    """The rows of the usable photos by id."""
    return {row["id"]: row for row in read_csv(photos_csv) if row["verdict"] == "ok"}


def _image_name(id: str) -> str:
    return f"{id}.jpg"


def _batches(items: list, size: int) -> tuple[list[list], int]:
    """The items cut into lists of `size`, and how many lists those are."""
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    return batches, len(batches)
