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

import torch

from nrw.core.device import torch_device
from nrw.core.io import write_json
from nrw.core.pieces import pending
from nrw.mvs.consensus import modes, seen_from
from nrw.mvs.consistency import agreeing
from nrw.mvs.depth_maps import DepthMap
from nrw.mvs.gray_views import Photos
from nrw.mvs.matcher import GeometricMatcher
from nrw.mvs.photometric import BEST, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA, FINE_ROUNDS, MIN_CONFIDENCE, RADIUS
from nrw.mvs.planes import normals_from_depth
from nrw.mvs.refine import best_of, refine, upsample
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
        normals = normals_from_depth(depth, workspace.cameras[photo_id])
        write_map(workspace.normal_map(photo_id, kind), normals.cpu().numpy())
        write_map(workspace.depth_map(photo_id, kind), depth.cpu().numpy())
        logger.info(
            "%s (%d of %d): %.1f s, %.0f %% consistent",
            *(photo_id, number, len(todo), time.monotonic() - started, 100 * float((depth > 0).float().mean())),
        )


@torch.inference_mode()
def _estimate(photos: Photos, photo_id: str, pass_: Pass, sources: int, min_views: int) -> torch.Tensor:
    """(H, W) depth, 0 = none."""
    camera = photos.workspace.cameras[photo_id]
    given = _read(photos, photo_id, pass_)
    neighbours = select_sources(photos.scene, photo_id, NEIGHBOURS)
    if not given.depth.any() or not neighbours:
        return torch.zeros_like(given.depth)
    typical = float(given.depth[given.depth > 0].median())
    reference = photos.view(photo_id)
    views = [photos.view(neighbour).no_finer_than(reference, typical) for neighbour in neighbours[:sources]]
    maps = [_read(photos, neighbour, pass_) for neighbour in neighbours]
    depths = [upsample(own.inverse, *view.pixels.shape) for own, view in zip(maps, views, strict=False)]
    matcher = GeometricMatcher(reference, views, BEST, RADIUS, depths)
    inverse_depth = _match(matcher, given.inverse, seen_from(camera, maps), pass_.rounds)
    confidence = matcher.bilateral_score(inverse_depth, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA) * reference.keep
    depth = torch.where(confidence >= MIN_CONFIDENCE, 1 / inverse_depth, 0.0)
    return torch.where(agreeing(depth, camera, maps) + 1 >= min_views, depth, 0.0)


def _match(
    matcher: GeometricMatcher, own: torch.Tensor, seen: torch.Tensor, rounds: tuple[tuple[int, float], ...]
) -> torch.Tensor:
    """The best inverse depth (H, W) found from the photo's own (H, W) and its neighbours' as it sees them (N, H, W)."""
    seen = torch.cat([own[None], seen])
    limits = float(seen[seen > 0].min()), float(seen.max())
    first, second = modes(seen)
    proposals = torch.stack([torch.where(own > 0, own, first), first, second])
    inverse_depth, _ = best_of(matcher, proposals.clamp(*limits))
    return refine(matcher, inverse_depth, limits, rounds) if rounds else inverse_depth


def _read(photos: Photos, photo_id: str, pass_: Pass) -> DepthMap:
    """The map to start from; all 0, and a line in the photo's report, if damaged."""
    workspace, camera = photos.workspace, photos.workspace.cameras[photo_id]
    depth, normals = workspace.depth_map(photo_id, pass_.given), workspace.normal_map(photo_id, pass_.given)
    damaged = [
        path
        for path, channels in ((depth, 1), (normals, 3))
        if path.is_file() and not workspace.is_whole(path, photo_id, channels)
    ]
    if not damaged:
        given = [torch.from_numpy(read_map(path)).to(photos.device) for path in (depth, normals)]
        return DepthMap(given[0], given[1], camera)
    problem = f"{damaged[0]}: damaged; delete it and {workspace.root / pass_.folder}, and run again"
    logger.warning("%s gets NO DEPTH: %s", photo_id, problem)
    write_json(workspace.report(photo_id), {**workspace.read_report(photo_id), "problem": problem})
    empty = torch.zeros(camera.height, camera.width, device=photos.device)
    return DepthMap(empty, empty[..., None].expand(-1, -1, 3), camera)
