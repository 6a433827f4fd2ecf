"""The geometric passes: each photo of a chunk matched again with its neighbours' depth maps in hand.

As COLMAP's (Schönberger et al. 2016, "Pixelwise View Selection for Unstructured Multi-View Stereo", section 4.4). Where
a photo failed by itself, its neighbours' maps propose depths; all are scored by the photos and by these maps together,
and what several photos agree on is kept. The first pass ("consensus") only chooses among the depths there are, so that
the second ("geometric") finds them in more of its neighbours; that one refines them.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nrw.core.io import write_json
from nrw.mvs.consensus import modes, seen_from
from nrw.mvs.consistency import agrees
from nrw.mvs.matcher import GeometricMatcher
from nrw.mvs.photometric import (
    BEST,
    CONFIDENCE_RADIUS,
    CONFIDENCE_SIGMA,
    FINE_ROUNDS,
    MIN_CONFIDENCE,
    RADIUS,
    check_device,
)
from nrw.mvs.planes import normals_from_depth
from nrw.mvs.refine import keep_better, refine, upsample
from nrw.mvs.sources import SparseScene, read_sparse, select_sources
from nrw.mvs.views import read_view
from nrw.mvs.workspace import Workspace, read_map, write_map

log = logging.getLogger(__name__)

NEIGHBOURS = 16  # photos whose maps propose and confirm depths; the first of them are the sources


@dataclass(frozen=True)
class Pass:
    """given: kind of the maps it starts from. folder: of the workspace, with the chunks that made these. rounds: of
    refinement, as in `refine`.
    """

    given: str
    folder: str
    rounds: tuple[tuple[int, float], ...]


PASSES = {"consensus": Pass("photometric", "depths", ()), "geometric": Pass("consensus", "consensus", FINE_ROUNDS)}


def match_again(
    mvs_dir: Path | str,
    segmentation_dir: Path | str | None,
    ids: list[str],
    kind: str,
    *,
    sources: int,
    min_views: int,
    device: str = "cpu",
    masked: Iterable[int] = (),
) -> None:
    """Write the depth and normal maps of `kind`, one of PASSES, of the photos of `ids`.

    It needs those maps of all photos that the pass starts from. sources: photos that each photo is matched against.
    min_views: photos, its own included, that must agree on a depth. device: "cpu" or "cuda". masked: labels (0-255)
    whose pixels neither match nor get a depth.

    A photo with a truncated map is left out, and its report says so. Raises UserError if a map or the device is
    missing.
    """
    check_device(device)
    workspace = Workspace(Path(mvs_dir))
    workspace.check_ids(ids)
    segmentation_dir = None if segmentation_dir is None else Path(segmentation_dir)
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for number, photo in enumerate(ids, 1):
        started = time.monotonic()
        depth = _estimate(
            *(workspace, segmentation_dir, frozenset(masked), scene, photo),
            *(PASSES[kind], sources, min_views, torch.device(device)),
        )
        normals = normals_from_depth(torch.from_numpy(depth), workspace.cameras[photo]).numpy()
        write_map(workspace.normal_map(photo, kind), normals)
        write_map(workspace.depth_map(photo, kind), depth)
        log.info(
            "%s (%d of %d): %.1f s, %.0f %% consistent",
            *(photo, number, len(ids), time.monotonic() - started, 100 * np.mean(depth > 0)),
        )


@torch.inference_mode()
def _estimate(
    workspace: Workspace,
    segmentation_dir: Path | None,
    masked: frozenset[int],
    scene: SparseScene,
    photo: str,
    this: Pass,
    sources: int,
    min_views: int,
    device: torch.device,
) -> np.ndarray:
    """(H, W) depth, 0 = none."""
    camera = workspace.cameras[photo]
    own, _ = _read_maps(workspace, photo, this)
    neighbours = select_sources(scene, photo, NEIGHBOURS)
    if not own.any() or not neighbours:
        return np.zeros_like(own)
    typical = float(np.median(own[own > 0]))
    own = _inverse(torch.from_numpy(own).to(device))
    reference = read_view(workspace, segmentation_dir, masked, photo, device)
    views, depths, seen = [], [], [own]
    for neighbour in neighbours:
        depth, normals = (torch.from_numpy(values).to(device) for values in _read_maps(workspace, neighbour, this))
        seen.append(seen_from(camera, depth, normals, workspace.cameras[neighbour]))
        if len(views) < sources:
            view = read_view(workspace, segmentation_dir, masked, neighbour, device).no_finer_than(reference, typical)
            views.append(view)
            depths.append(upsample(_inverse(depth), *view.image.shape))
    matcher = GeometricMatcher(reference, views, BEST, RADIUS, depths)
    inverse_depth = _match(matcher, own, torch.stack(seen), this.rounds)
    confidence = matcher.bilateral_score(inverse_depth, CONFIDENCE_RADIUS, CONFIDENCE_SIGMA) * reference.usable
    depth = torch.where(confidence >= MIN_CONFIDENCE, 1 / inverse_depth, 0.0).cpu().numpy()
    agreeing = np.ones(depth.shape, np.int16)
    for neighbour in neighbours:
        agreeing += agrees(depth, camera, *_read_maps(workspace, neighbour, this), workspace.cameras[neighbour])
    return np.where(agreeing >= min_views, depth, 0).astype(np.float32)


def _match(
    matcher: GeometricMatcher, own: torch.Tensor, seen: torch.Tensor, rounds: tuple[tuple[int, float], ...]
) -> torch.Tensor:
    """The best inverse depth (H, W) that grows from the photo's own map (H, W) and what all maps (N, H, W) show."""
    limits = float(seen[seen > 0].min()), float(seen.max())
    first, second = modes(seen)
    inverse_depth = torch.where(own > 0, own, first).clamp(*limits)
    score = matcher.score(inverse_depth[None])[0]
    for proposal in (first, second):
        inverse_depth, score = keep_better(matcher, inverse_depth, score, proposal.clamp(*limits))
    return refine(matcher, inverse_depth, limits, rounds) if rounds else inverse_depth


def _inverse(depth: torch.Tensor) -> torch.Tensor:
    return torch.where(depth > 0, 1 / depth, 0.0)


def _read_maps(workspace: Workspace, photo: str, this: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) to start from; all 0, and a line in the photo's report, if damaged."""
    depth, normals = workspace.depth_map(photo, this.given), workspace.normal_map(photo, this.given)
    damaged = [
        path
        for path, channels in ((depth, 1), (normals, 3))
        if path.is_file() and not workspace.is_whole(path, photo, channels)
    ]
    if not damaged:
        return read_map(depth), read_map(normals)
    problem = f"{damaged[0]}: damaged; delete it and {workspace.root / this.folder}, and run again"
    log.warning("%s gets NO DEPTH: %s", photo, problem)
    write_json(workspace.report(photo), {**workspace.read_report(photo), "problem": problem})
    camera = workspace.cameras[photo]
    return np.zeros((camera.height, camera.width), np.float32), np.zeros((camera.height, camera.width, 3), np.float32)
