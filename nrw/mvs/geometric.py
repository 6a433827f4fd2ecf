"""The geometric passes: each photo of a chunk is matched again, given its neighbours' depth maps.

As in COLMAP (Schönberger et al. 2016, "Pixelwise View Selection for Unstructured Multi-View Stereo", section 4.4).
Where the photometric match of a photo failed, its neighbours' maps propose depths; photos and maps together score all
proposals, and depths that several photos agree on are kept. The first pass ("consensus") only chooses among the
proposals, so that the second ("geometric") finds them in more neighbours; the second also refines them.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nrw.core.device import torch_device
from nrw.core.io import write_json
from nrw.core.pieces import pending
from nrw.mvs.consensus import modes, seen_from
from nrw.mvs.consistency import agrees
from nrw.mvs.gray_views import GrayView, Photos
from nrw.mvs.matcher import GeometricMatcher
from nrw.mvs.photometric import BEST, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA, FINE_ROUNDS, MIN_CONFIDENCE, RADIUS
from nrw.mvs.planes import normals_from_depth
from nrw.mvs.refine import keep_better, refine, upsample
from nrw.mvs.sources import read_sparse, select_sources
from nrw.mvs.workspace import Workspace, read_map, write_map

logger = logging.getLogger(__name__)

NEIGHBOURS = 16  # photos whose maps propose and confirm depths; the first of them are the sources


@dataclass(frozen=True)
class Pass:
    """given: kind of the maps that the pass starts from. folder: of the workspace; its files mark the chunks of `given`
    as done. rounds: of refinement, as in `refine`.
    """

    given: str
    folder: str
    rounds: tuple[tuple[int, float], ...]


PASSES = {"consensus": Pass("photometric", "depths", ()), "geometric": Pass("consensus", "consensus", FINE_ROUNDS)}


def match_with_neighbours(
    mvs_dir: Path | str,
    segmentation_dir: Path | str | None,
    ids: list[str],
    key_file: Path | str,
    kind: str,
    *,
    sources: int,
    min_views: int,
    device: str = "cpu",
    masked: Iterable[int] = (),
) -> None:
    """Write the depth and normal maps of `kind`, one of PASSES, of a chunk of photos, `ids`.

    The maps that the pass starts from must be there for all photos of the workspace. Photos that are done are skipped
    (`core.pieces`; `key_file` belongs to this chunk). sources: number of photos that each photo is matched against.
    min_views: photos, its own included, that must agree on a depth. device: "cpu" or "cuda". masked: labels (0-255)
    whose pixels neither match nor get a depth.

    While a photo is matched, the maps of its NEIGHBOURS stay in memory: 16 bytes per pixel and neighbour.

    A damaged map counts as empty, and the report of its photo says so. Raises UserError if the workspace, a photo's id,
    a map, a label map or the device is missing.
    """
    target = torch_device(device)
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    segmentation_dir = None if segmentation_dir is None else Path(segmentation_dir)
    masked = frozenset(masked)
    given = [workspace.depth_map(photo_id, PASSES[kind].given) for photo_id in workspace.cameras]
    fingerprint = {
        "settings": {"sources": sources, "min_views": min_views},
        "masked": sorted(masked),
        "labels": segmentation_dir or [],
        "given": [path for path in given if path.is_file()],
    }
    todo = pending(
        *(ids, key_file, fingerprint),
        lambda photo_id: [workspace.depth_map(photo_id, kind), workspace.normal_map(photo_id, kind)],
    )
    logger.info("%s depths: %d photos, %d of them done before", kind, len(ids), len(ids) - len(todo))
    if not todo:
        return
    scene = read_sparse(workspace.sparse, workspace.cameras)
    photos = Photos(workspace, segmentation_dir, masked, scene, target)
    for number, photo_id in enumerate(todo, 1):
        started = time.monotonic()
        depth = _estimate(photos, photo_id, PASSES[kind], sources, min_views)
        normals = normals_from_depth(torch.from_numpy(depth), workspace.cameras[photo_id]).numpy()
        write_map(workspace.normal_map(photo_id, kind), normals)
        write_map(workspace.depth_map(photo_id, kind), depth)
        logger.info(
            "%s (%d of %d): %.1f s, %.0f %% consistent",
            *(photo_id, number, len(todo), time.monotonic() - started, 100 * np.mean(depth > 0)),
        )


@torch.inference_mode()
def _estimate(photos: Photos, photo_id: str, pass_: Pass, sources: int, min_views: int) -> np.ndarray:
    """(H, W) float32 depth, 0 = none."""
    workspace, device = photos.workspace, photos.device
    camera = workspace.cameras[photo_id]
    given, _ = _read_maps(workspace, photo_id, pass_)
    neighbours = select_sources(photos.scene, photo_id, NEIGHBOURS)
    if not given.any() or not neighbours:
        return np.zeros_like(given)
    typical = float(np.median(given[given > 0]))
    own = _inverse(torch.from_numpy(given).to(device))
    reference = photos.view(photo_id)
    maps = [_read_maps(workspace, neighbour, pass_) for neighbour in neighbours]
    views: list[GrayView] = []
    depths, seen = [], [own]
    for neighbour, both in zip(neighbours, maps, strict=True):
        other, normals = (torch.from_numpy(values).to(device) for values in both)
        seen.append(seen_from(camera, other, normals, workspace.cameras[neighbour]))
        if len(views) < sources:
            view = photos.view(neighbour).no_finer_than(reference, typical)
            views.append(view)
            depths.append(upsample(_inverse(other), *view.pixels.shape))
    matcher = GeometricMatcher(reference, views, BEST, RADIUS, depths)
    inverse_depth = _match(matcher, own, torch.stack(seen), pass_.rounds)
    confidence = matcher.bilateral_score(inverse_depth, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA) * reference.keep
    depth = torch.where(confidence >= MIN_CONFIDENCE, 1 / inverse_depth, 0.0).cpu().numpy()
    agreeing = np.ones(depth.shape, np.int16)
    for neighbour, both in zip(neighbours, maps, strict=True):
        agreeing += agrees(depth, camera, *both, workspace.cameras[neighbour])
    return np.where(agreeing >= min_views, depth, 0).astype(np.float32)


def _match(
    matcher: GeometricMatcher, own: torch.Tensor, seen: torch.Tensor, rounds: tuple[tuple[int, float], ...]
) -> torch.Tensor:
    """The best inverse depth (H, W) found from the photo's own map (H, W) and all maps as it sees them (N, H, W)."""
    limits = float(seen[seen > 0].min()), float(seen.max())
    first, second = modes(seen)
    inverse_depth = torch.where(own > 0, own, first).clamp(*limits)
    score = matcher.score(inverse_depth[None])[0]
    for proposal in (first, second):
        inverse_depth, score = keep_better(matcher, inverse_depth, score, proposal.clamp(*limits))
    return refine(matcher, inverse_depth, limits, rounds) if rounds else inverse_depth


def _inverse(depth: torch.Tensor) -> torch.Tensor:
    return torch.where(depth > 0, 1 / depth, 0.0)


def _read_maps(workspace: Workspace, photo_id: str, pass_: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) to start from; all 0, and a line in the photo's report, if damaged."""
    depth, normals = workspace.depth_map(photo_id, pass_.given), workspace.normal_map(photo_id, pass_.given)
    damaged = [
        path
        for path, channels in ((depth, 1), (normals, 3))
        if path.is_file() and not workspace.is_whole(path, photo_id, channels)
    ]
    if not damaged:
        return read_map(depth), read_map(normals)
    problem = f"{damaged[0]}: damaged; delete it and {workspace.root / pass_.folder}, and run again"
    logger.warning("%s gets NO DEPTH: %s", photo_id, problem)
    write_json(workspace.report(photo_id), {**workspace.read_report(photo_id), "problem": problem})
    camera = workspace.cameras[photo_id]
    return np.zeros((camera.height, camera.width), np.float32), np.zeros((camera.height, camera.width, 3), np.float32)
