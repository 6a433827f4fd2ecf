"""The first depth map of each photo of a chunk, matched against its sources' photos alone ("photometric")."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from nrw.core.device import torch_device
from nrw.core.io import write_json
from nrw.mvs.gray_views import GrayView, Photos
from nrw.mvs.matcher import Matcher
from nrw.mvs.planes import level_slant, normals_from_depth
from nrw.mvs.refine import refine, unless_worse, upsample
from nrw.mvs.sgm import aggregate, winners
from nrw.mvs.sources import ground_range, read_sparse, select_sources
from nrw.mvs.sweep import Family, depth_range, plane_distances, sweep
from nrw.mvs.workspace import Workspace, write_map

logger = logging.getLogger(__name__)

# scale of the plane sweep, whose cost grows with its cube; 0.25 loses a tenth of the surface in internet photos
COARSE = 0.375
BEST = 2  # sources that must agree at a pixel
RADIUS = 2  # pixels; matching windows are 5 x 5
# semi-global matching, for costs in [0, 1]: p1, p2, edge. The ground is level or rises slowly, whatever its pattern
FACING_SMOOTHNESS = (0.06, 0.6, 0.03)
LEVEL_SMOOTHNESS = (1.0, 4.0, 1.0)
# facing planes must score better by this much, in windows of this radius: with little texture many fit a bit
LEVEL_RADIUS, LEVEL_HANDICAP = 4, 0.05
# rounds of refinement: distance (pixels) from which neighbours propose their planes, offset tried (pixels of disparity)
COARSE_ROUNDS = ((1, 0.25),)
FINE_ROUNDS = ((1, 0.5), (2, 0.25))
CONFIDENCE_RADIUS, CONFIDENCE_SIGMA = 3, 0.1
MIN_CONFIDENCE = 0.25  # bilateral ZNCC; at 0.5 roofs are lost, at 0 sky gets depths
MIN_POINTS = 5  # sparse points that a photo must see for a depth range


def photometric_depths(
    mvs_dir: Path | str,
    segmentation_dir: Path | str | None,
    ids: list[str],
    *,
    sources: int,
    device: str = "cpu",
    masked: Iterable[int] = (),
    resume: bool = True,
) -> None:
    """Write for each photo of `ids` the photometric depth, normal and confidence maps, and stereo/reports/<id>.json.

    sources: number of photos that each photo is matched against. device: "cpu" or "cuda". masked: labels (0-255) whose
    pixels neither match nor get a depth. resume: skip photos whose maps are complete, newer than their inputs and made
    with the same settings. A photo without a suitable source gets a map of zeros, and its report says why.

    Depth is z in the camera, world units, 0 = none. Normals are in camera coordinates and point towards the camera.
    Confidence is in [0, 1]. Photos do not depend on each other: chunks may run as parallel processes, one thread each.

    Raises UserError if the workspace, a photo's id, a label map or the device is missing.
    """
    target = torch_device(device)
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    segmentation_dir = None if segmentation_dir is None else Path(segmentation_dir)
    masked = frozenset(masked)
    settings = {"sources": sources, "masked": sorted(masked) if segmentation_dir is not None else None}
    todo = [photo_id for photo_id in ids if not (resume and _is_done(workspace, segmentation_dir, photo_id, settings))]
    logger.info("depth maps: %d photos, %d of them done before", len(ids), len(ids) - len(todo))
    if not todo:
        return
    scene = read_sparse(workspace.sparse, workspace.cameras)
    photos = Photos(workspace, segmentation_dir, masked, scene, target)
    started = time.monotonic()
    for number, photo_id in enumerate(todo, 1):
        report = _estimate(photos, photo_id, sources)
        write_json(workspace.report(photo_id), report | {"settings": settings})
        remaining = (time.monotonic() - started) / number * (len(todo) - number)
        logger.info(
            "%s (%d of %d): %s%.1f s, %.0f %% covered, %.0f s left",
            *(photo_id, number, len(todo)),
            f"NO DEPTH, {report['problem']}; " if report["problem"] else "",
            *(report["seconds"], 100 * report["coverage"], remaining),
        )


def _is_done(workspace: Workspace, segmentation_dir: Path | None, photo_id: str, settings: dict) -> bool:
    depth = workspace.depth_map(photo_id, "photometric")
    maps = ((depth, 1), (workspace.normal_map(photo_id, "photometric"), 3), (workspace.confidence_map(photo_id), 1))
    if not all(workspace.is_whole(path, photo_id, channels) for path, channels in maps):
        return False
    if workspace.read_report(photo_id).get("settings") != settings:
        return False
    inputs = [workspace.image(photo_id)]
    if segmentation_dir is not None:
        inputs.append(segmentation_dir / f"{photo_id}.png")
    return all(path.is_file() and path.stat().st_mtime <= depth.stat().st_mtime for path in inputs)


@torch.inference_mode()
def _estimate(photos: Photos, photo_id: str, count: int) -> dict:
    """Write the maps of one photo, matched against `count` sources; returns its report."""
    started, workspace, scene = time.monotonic(), photos.workspace, photos.scene
    reference = photos.view(photo_id)
    points = scene.points[scene.seen_by(photo_id)]
    chosen = select_sources(scene, photo_id, count)
    depth, confidence = torch.zeros_like(reference.pixels), torch.zeros_like(reference.pixels)
    problem = None
    if len(points) < MIN_POINTS:
        problem = f"it sees {len(points)} sparse points"
    elif not chosen:
        problem = "no other photo shares enough sparse points with it at a useful angle"
    elif not reference.keep.any():
        problem = "every pixel is masked (sky, transient)"
    else:
        views = [photos.view(source) for source in chosen]
        around = scene.points[scene.seen_by(photo_id, *chosen)]
        depth, confidence = _match(
            reference, views, *depth_range(reference.camera, points), ground_range(reference.camera, around)
        )
    normals = normals_from_depth(depth, reference.camera)
    # the depth map last: once it is complete, so are the others
    write_map(workspace.confidence_map(photo_id), confidence.cpu().numpy())
    write_map(workspace.normal_map(photo_id, "photometric"), normals.cpu().numpy())
    write_map(workspace.depth_map(photo_id, "photometric"), depth.cpu().numpy())
    return {
        "problem": problem,
        "sources": chosen,
        "coverage": round(float((depth > 0).float().mean()), 4),
        "usable": round(float(reference.keep.mean()), 4),
        "seconds": round(time.monotonic() - started, 2),
    }


def _match(
    reference: GrayView, sources: list[GrayView], near: float, far: float, ground: tuple[float, float] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth (H, W), 0 where the confidence is too low, and the confidence (H, W) in [0, 1].

    near, far: range of depths to search. ground: range of distances below the camera in which level planes are tried;
    None: no level planes.
    """
    sources = [source.no_finer_than(reference, (near * far) ** 0.5) for source in sources]

    coarse = reference.scaled(COARSE)
    matcher = Matcher(coarse, [source.scaled(COARSE) for source in sources], BEST, RADIUS)
    facing = Family(torch.ones_like(coarse.pixels), near, far)
    slant = level_slant(coarse.camera, coarse.pixels.device)
    limits = (1 / far, 1 / near)
    inverse_depth = _sweep_and_refine(matcher, facing, limits, FACING_SMOOTHNESS)
    if ground is not None and (slant > 0).any():
        limits = (1 / far, max(1 / near, float(slant.max()) / ground[0]))  # the ground may be nearer than any point
        level = _sweep_and_refine(matcher, Family(slant, *ground), limits, LEVEL_SMOOTHNESS)
        inverse_depth = unless_worse(matcher, inverse_depth, level, LEVEL_RADIUS, LEVEL_HANDICAP)

    matcher = Matcher(reference, sources, BEST, RADIUS)
    inverse_depth = refine(matcher, upsample(inverse_depth, *reference.pixels.shape), limits, FINE_ROUNDS)
    confidence = matcher.bilateral_score(inverse_depth, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA) * reference.keep
    return torch.where(confidence >= MIN_CONFIDENCE, 1 / inverse_depth, 0.0), confidence


def _sweep_and_refine(
    matcher: Matcher, family: Family, limits: tuple[float, float], smoothness: tuple[float, float, float]
) -> torch.Tensor:
    """(H, W) inverse depth: semi-global matching among the planes of `family`, then COARSE_ROUNDS of refinement."""
    distances = plane_distances(matcher, family)
    labels = winners(aggregate(sweep(matcher, family, distances), matcher.reference.pixels, *smoothness))
    inverse_depth = family.slant * (distances[0] + labels * (distances[1] - distances[0]))
    return refine(matcher, inverse_depth.clamp(*limits), limits, COARSE_ROUNDS)
