"""Cameras and sparse points from verified matches, by one of COLMAP's mappers, in an upright and scaled world."""

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nrw.config.choices import mapper_for
from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_json
from nrw.core.limits import MIN_PHOTOS
from nrw.core.progress import duration
from nrw.sfm.checks import checks_of
from nrw.sfm.database import image_ids, opened, usable_photos
from nrw.sfm.matching import MIN_INLIERS
from nrw.sfm.summary import photos_left_out, summary_of, summary_table, too_few
from nrw.sfm.upright import upright_transform

logger = logging.getLogger(__name__)

MAPPERS = ("auto", "incremental", "global", "hierarchical")
MAX_STARTS = 3  # of the mapper: about one start in ten begins with an unlucky pair and ends with a fragment
FRAGMENT = 0.75  # a model with a smaller share of the connected photos is a fragment


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
    """Write the largest model that COLMAP finds, upright and scaled (`sfm.upright`), and a summary as JSON and as text.

    mapper: `incremental`, `global` (faster; leaves unknown focal lengths near their guess), `hierarchical` (parts of at
    most `hierarchical_above` photos, mapped in parallel and merged), or `auto`: hierarchical above
    `hierarchical_above` photos, else incremental. reproducible: one thread, so that two runs give identical models;
    with several, the order of the sums in bundle adjustment varies.
    summary_json: photos, registered, models [{photos, points, mean_reprojection_error (px), mean_track_length}] from
    the largest down, left_out [{id, file, reason}], scale (units of the result per unit of the mapper), unit, checks
    (`checks.checks_of`).

    Raises UserError for an unknown mapper, and for fewer than 3 registered photos, with the reason for each photo.
    """
    if mapper not in MAPPERS:
        raise UserError(f"sfm.mapper is {mapper!r}; choose one of {', '.join(MAPPERS)}")
    photos = usable_photos(photos_csv)
    start = time.monotonic()
    mapper = mapper_for({"mapper": mapper, "hierarchical_above": hierarchical_above}, len(photos))
    models = _best_models(images_dir, database, mapper, hierarchical_above, 1 if reproducible else threads, seed)
    left_out = photos_left_out(photos, database, models)
    registered = len(photos) - len(left_out)
    if registered < MIN_PHOTOS:
        raise UserError(too_few(photos, left_out, mapper))

    scene = models[0]
    upright = upright_transform(scene)
    scene.transform(upright)
    summary = summary_of(models, photos, left_out, float(upright.scale))
    summary["checks"] = checks_of(scene, database, photos)
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


def find_parts(
    images_dir: Path | str,
    database: Path | str,
    parts_json: Path | str,
    *,
    mapper: str,
    hierarchical_above: int,
    threads: int,
    reproducible: bool,
    seed: int,
) -> None:
    """Write the names of the images in each model that COLMAP finds, the largest model first: [[name, …], …].

    The settings are those of `reconstruct`.
    """
    mapper = mapper_for({"mapper": mapper, "hierarchical_above": hierarchical_above}, len(image_ids(database)))
    models = _best_models(images_dir, database, mapper, hierarchical_above, 1 if reproducible else threads, seed)
    parts = [sorted(model.images[image_id].name for image_id in model.reg_image_ids()) for model in models]
    write_json(parts_json, parts)
    logger.info("sfm: models of %s photos", " + ".join(str(len(part)) for part in parts) or "no")


def _best_models(
    images_dir: Path | str, database: Path | str, mapper: str, part_size: int, threads: int, seed: int
) -> list[pycolmap.Reconstruction]:
    """The mapper's models, largest first. While the largest is a fragment the mapper starts anew, up to 3 times."""

    def size(models: list[pycolmap.Reconstruction]) -> tuple[int, int]:
        return (models[0].num_reg_images(), models[0].num_points3D()) if models else (0, 0)

    connected = _count_connected(database)
    best: list[pycolmap.Reconstruction] = []
    for attempt in range(MAX_STARTS):
        models = _map(images_dir, database, mapper, part_size, threads, seed + attempt)
        models.sort(key=lambda model: (model.num_reg_images(), model.num_points3D()), reverse=True)
        best = max(best, models, key=size)
        if size(best)[0] >= FRAGMENT * connected:
            break
        logger.info(
            "sfm: start %d of %d registered %d of %d photos that match one another",
            attempt + 1,
            MAX_STARTS,
            size(models)[0],
            connected,
        )
    return best


def _count_connected(database: Path | str) -> int:
    """The number of photos in the largest group that verified pairs connect."""
    with opened(database) as connection:
        pair_ids, inliers = connection.read_two_view_geometry_num_inliers()
    verified = [pair for pair, count in zip(pair_ids, inliers, strict=True) if count >= MIN_INLIERS]
    if not verified:
        return 0
    first, second = np.array([pycolmap.pair_id_to_image_pair(pair) for pair in verified]).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=[max(first.max(), second.max()) + 1] * 2)
    return int(np.bincount(connected_components(graph, directed=False)[1]).max())


def _map(
    images_dir: Path | str, database: Path | str, mapper: str, part_size: int, threads: int, seed: int
) -> list[pycolmap.Reconstruction]:
    """The models of one start of COLMAP's mapper with at least 3 photos, in no particular order.

    part_size: most photos in a part, for the hierarchical mapper.
    """
    pycolmap.set_random_seed(seed)
    incremental = pycolmap.IncrementalPipelineOptions(min_model_size=MIN_PHOTOS, num_threads=threads, random_seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        if mapper == "incremental":
            models = pycolmap.incremental_mapping(
                database, images_dir, folder, incremental, next_image_callback=_Ticker("sfm: photos registered")
            )
        elif mapper == "global":
            at_once = pycolmap.GlobalPipelineOptions(
                min_model_size=MIN_PHOTOS, num_threads=threads, random_seed=seed, image_path=images_dir
            )
            at_once.mapper.global_positioning.use_gpu = False
            at_once.mapper.bundle_adjustment.ceres.use_gpu = False
            models = pycolmap.global_mapping(database, images_dir, folder, at_once)
        else:
            in_parts = pycolmap.HierarchicalPipelineOptions(
                num_threads=threads, num_workers=threads, image_path=images_dir, incremental_options=incremental
            )
            clustering = in_parts.clustering_options
            clustering.leaf_max_num_images = part_size
            clustering.image_overlap = min(clustering.image_overlap, part_size // 2)
            models = pycolmap.hierarchical_mapping(database, images_dir, folder, in_parts)
    return [model for model in models.values() if model.num_reg_images() >= MIN_PHOTOS]


class _Ticker:
    """A callback that counts its calls and logs their number every 15 s."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.last = what, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if time.monotonic() - self.last >= 15:
            self.last = time.monotonic()
            logger.info("%s: %d", self.what, self.count)
