"""The dense step alone: what it costs, and on the demo landmark how complete and how true its depth and cloud are.

python -m benchmarks.dense cost results/SCENE OUT [--size 640]      any scene with finished stage sfm
python -m benchmarks.dense demo results/demo OUT [--size 640]       true poses, true labels as masks
python -m benchmarks.dense lights results/demo OUT                  noon only against as many photos of mixed light
python -m benchmarks.dense rivals results/demo OUT [--size 640]     ours, OpenCV's SGBM, COLMAP's patch-match with CUDA

Two processes of one thread each, as the workflow runs it on 2 cores.
"""

import argparse
import os
import resource
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pycolmap
import torch
from scipy.spatial import cKDTree

from benchmarks.demo_truth import DemoTruth, Surfaces, widely_seen
from benchmarks.truth import KINDS, TRANSIENT, Truth
from nrw.core.ade20k import label_of
from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.core.pieces import chunk
from nrw.geometry.pointcloud import read_cloud
from nrw.mvs.colmap import patch_match
from nrw.mvs.consistency import agreeing
from nrw.mvs.depth_maps import DepthMap
from nrw.mvs.geometric import NEIGHBOURS, PASSES
from nrw.mvs.sources import read_sparse, select_sources
from nrw.mvs.undistort import undistort
from nrw.mvs.workspace import Workspace, read_map, read_unmasked, write_map
from nrw.scene.files import SceneFiles

PROCESSES = 2
SGBM_PAIRS = 4  # of each photo
MASKED = TRANSIENT | {label_of("sky")}


@dataclass(frozen=True)
class Cost:
    """cpu: seconds of all processes. wall: seconds by the clock. memory: MB, of the largest process."""

    cpu: float
    wall: float
    memory: float


def in_processes(work, arguments: list[tuple]) -> Cost:
    """Run work(*arguments) for each tuple, in PROCESSES fresh processes."""
    started = time.monotonic()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        costs = list(pool.map(_measured, [work] * len(arguments), arguments))
    return Cost(sum(cpu for cpu, _ in costs), time.monotonic() - started, max(memory for _, memory in costs))


def _measured(work, arguments: tuple) -> tuple[float, float]:
    torch.set_num_threads(1)
    work(*arguments)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _estimate(mvs: Path, labels: Path | None, ids: list[str], sources: int) -> None:
    from nrw.mvs.photometric import photometric_depths

    photometric_depths(mvs, labels, ids, sources=sources, masked=MASKED, resume=False)


def _match_with_neighbours(mvs: Path, labels: Path | None, ids: list[str], kind: str, sources: int) -> None:
    from nrw.mvs.geometric import match_with_neighbours

    key_file = mvs / kind / f"{ids[0]}.key"
    match_with_neighbours(mvs, labels, ids, key_file, kind, sources=sources, min_views=3, masked=MASKED)


def _fuse(mvs: Path, labels: Path | None) -> None:
    from nrw.mvs.fuse import fuse_depths

    fuse_depths(
        mvs,
        mvs / "cloud.ply",
        mvs / "summary.json",
        min_views=3,
        threads=PROCESSES,
        segmentation_dir=labels,
        masked=MASKED,
    )


def pieces(mvs: Path) -> list[list[str]]:
    ids = list(Workspace(mvs).cameras)
    return [chunk(ids, f"{n}-of-{PROCESSES}") for n in range(1, PROCESSES + 1)]


def geometric_passes(mvs: Path, labels: Path | None, sources: int) -> dict[str, Cost]:
    return {
        kind: in_processes(_match_with_neighbours, [(mvs, labels, ids, kind, sources) for ids in pieces(mvs)])
        for kind in PASSES
    }


def reconstruct(mvs: Path, labels: Path | None, sources: int) -> None:
    """Our dense step on the workspace `mvs`; prints what it cost."""
    photos = len(Workspace(mvs).cameras)
    costs = {
        "depths": in_processes(_estimate, [(mvs, labels, ids, sources) for ids in pieces(mvs)]),
        **geometric_passes(mvs, labels, sources),
        "fuse": in_processes(_fuse, [(mvs, labels)]),
    }
    print(f"{photos} photos, {read_json(mvs / 'summary.json')['points']} points")
    print("\n| step | CPU s | CPU s a photo | s by the clock | MB a process |\n|---|---|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost.cpu:.0f} | {cost.cpu / photos:.2f} | {cost.wall:.0f} | {cost.memory:.0f} |")
    cpu, wall = (sum(getattr(cost, part) for cost in costs.values()) for part in ("cpu", "wall"))
    print(f"| all | {cpu:.0f} | {cpu / photos:.2f} | {wall:.0f} | |\n")


class Judge:
    """Holds the demo's truth on the photos of one workspace against depth maps and clouds in it."""

    def __init__(self, truth: DemoTruth, mvs: Path):
        self.mvs, self.workspace = mvs, Workspace(mvs)
        self.views = {photo: truth.view(photo, camera) for photo, camera in self.workspace.cameras.items()}
        self.seen = {photo: widely_seen(self.views, photo) for photo in self.views}

    def depths(self, kind: str) -> None:
        """Prints how much of what could be seen has a depth, and how true it is."""
        print(f"| {kind} | pixels | complete | median error | within 1 % | within 2 % |\n|---|---|---|---|---|---|")
        for name, labels in (*KINDS.items(), ("all", None)):
            could, errors = 0, []
            for photo, view in self.views.items():
                depth = read_map(self.workspace.depth_map(photo, kind))
                wanted = self.seen[photo] & (True if labels is None else view.has(labels))
                could += wanted.sum()
                errors.append(view.error(depth)[wanted & (depth > 0)])
            errors = np.concatenate(errors)
            print(
                f"| {name} | {could} | {len(errors) / could:.1%} | {np.median(errors):.3%} |"
                f" {np.mean(errors < 0.01):.1%} | {np.mean(errors < 0.02):.1%} |"
            )
        print()

    def cloud(self) -> None:
        """Prints the share of points off any true surface by more than 1 % of the scene's size."""
        points = read_cloud(self.mvs / "cloud.ply").points.astype(float)
        summary = read_json(self.mvs / "summary.json")
        size = Truth().size
        distance = Surfaces(list(self.views.values())).distance(points)
        far = distance > 0.01 * size
        dense = np.arange(len(points)) < summary["surface_points"]
        print(
            f"{len(points)} points; off any true surface by more than {0.01 * size:.2f} m (1 % of the scene's size):"
            f" {far.mean():.2%} (dense {far[dense].mean():.2%}, sparse {far[~dense].mean():.2%});"
            f" median distance {np.median(distance) * 100:.1f} cm"
        )
        tree = cKDTree(points)
        for name, labels in KINDS.items():
            near = []
            for photo, view in self.views.items():
                wanted = self.seen[photo] & view.has(labels)
                gap, _ = tree.query(view.points[wanted], workers=-1)
                near.append(gap < 3 * view.depth[wanted] / view.camera.fx)
            print(f"{name}: {np.concatenate(near).mean():.1%} of the pixels have a point within 3 pixels")
        print()


def true_workspace(scene: Path, out: Path, truth: DemoTruth, photos: list[str], size: int) -> Path:
    """A dense workspace of `photos` with true poses at out/mvs, true labels at out/segmentation."""
    shutil.rmtree(out, ignore_errors=True)
    files = SceneFiles(scene)
    truth.with_true_poses(files.reconstruction, files.database, files.upright_photos, out / "sparse", photos)
    undistort(files.upright_photos, out / "sparse", out / "mvs", max_size=size)
    truth.write_labels(Workspace(out / "mvs").cameras, out / "segmentation")
    return out / "mvs"


def registered(scene: Path, truth: DemoTruth) -> list[str]:
    model = pycolmap.Reconstruction(str(SceneFiles(scene).reconstruction))
    return sorted(id_ for image in model.images.values() if (id_ := Path(image.name).stem) in truth.entries)


def demo(scene: Path, out: Path, size: int, sources: int) -> None:
    truth = DemoTruth(SceneFiles(scene).photos_csv)
    mvs = true_workspace(scene, out, truth, registered(scene, truth), size)
    reconstruct(mvs, out / "segmentation", sources)
    judge = Judge(truth, mvs)
    for kind in ("photometric", *PASSES):
        judge.depths(kind)
    judge.cloud()


def lights(scene: Path, out: Path, size: int, sources: int) -> None:
    """Noon: every noon photo. Mixed: every second of them stays, the others give way to near views in other light."""
    truth = DemoTruth(SceneFiles(scene).photos_csv)
    photos = registered(scene, truth)
    noon = [photo for photo in photos if truth.light(photo) == "noon"]
    others = [photo for photo in photos if truth.light(photo) != "noon"]
    mixed = noon[::2]
    for photo in noon[1::2]:
        nearest = min((o for o in others if o not in mixed), key=lambda other: truth.gap(photo, other))
        mixed.append(nearest)
    for name, chosen in (("noon", noon), ("mixed", mixed)):
        print(f"### {name}: {len(chosen)} photos\n")
        mvs = true_workspace(scene, out / name, truth, chosen, size)
        reconstruct(mvs, out / name / "segmentation", sources)
        judge = Judge(truth, mvs)
        judge.depths("geometric")
        judge.cloud()


def rivals(scene: Path, out: Path, size: int, sources: int) -> None:
    """Of the same photos with the same poses: ours, OpenCV's SGBM through our check, and COLMAP where CUDA is."""
    truth = DemoTruth(SceneFiles(scene).photos_csv)
    mvs = true_workspace(scene, out, truth, registered(scene, truth), size)
    print("### ours\n")
    reconstruct(mvs, out / "segmentation", sources)
    Judge(truth, mvs).depths("geometric")
    print("### SGBM\n")
    shutil.copytree(mvs, out / "sgbm")  # with our normals, which tell how depth goes on between pixels
    matched = in_processes(_sgbm, [(out / "sgbm", out / "segmentation", ids) for ids in pieces(mvs)])
    in_processes(_keep_consistent, [(out / "sgbm", ids) for ids in pieces(mvs)])
    print(f"{matched.cpu / len(Workspace(mvs).cameras):.2f} CPU s a photo, {matched.memory:.0f} MB a process\n")
    judge = Judge(truth, out / "sgbm")
    judge.depths("photometric")
    judge.depths("geometric")
    print("### COLMAP\n")
    shutil.copytree(mvs, out / "colmap", ignore=shutil.ignore_patterns("*.bin"))
    try:
        patch_match(out / "colmap", out / "segmentation", masked=MASKED)
    except UserError as error:
        print(f"not run: {error}")
    else:
        Judge(truth, out / "colmap").depths("geometric")


def _sgbm(mvs: Path, labels: Path, ids: list[str]) -> None:
    from benchmarks import sgbm

    sgbm.cv2.setNumThreads(1)
    workspace = Workspace(mvs)
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for photo in ids:
        keep = read_unmasked(labels, photo, frozenset(MASKED), workspace.cameras[photo])
        write_map(workspace.depth_map(photo, "photometric"), sgbm.estimate(workspace, scene, photo, keep, SGBM_PAIRS))


def _keep_consistent(mvs: Path, ids: list[str]) -> None:
    """Write as geometric depth what of the photometric one two other photos' confirm."""
    workspace = Workspace(mvs)
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for photo in ids:
        own, *others = (_read(workspace, some) for some in (photo, *select_sources(scene, photo, NEIGHBOURS)))
        kept = torch.where(agreeing(own.depth, own.camera, others) >= 2, own.depth, 0.0)
        write_map(workspace.depth_map(photo, "geometric"), kept.numpy())


def _read(workspace: Workspace, photo: str) -> DepthMap:
    paths = workspace.depth_map(photo, "photometric"), workspace.normal_map(photo, "photometric")
    return DepthMap(*(torch.from_numpy(read_map(path)) for path in paths), workspace.cameras[photo])


def cost(scene: Path, out: Path, size: int, sources: int) -> None:
    shutil.rmtree(out, ignore_errors=True)
    undistort(SceneFiles(scene).upright_photos, SceneFiles(scene).reconstruction, out / "mvs", max_size=size)
    reconstruct(out / "mvs", None, sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["cost", "demo", "lights", "rivals"])
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--sources", type=int, default=8)
    options = parser.parse_args()
    studies = {"cost": cost, "demo": demo, "lights": lights, "rivals": rivals}
    sys.stdout.reconfigure(line_buffering=True)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for the processes to come
    print(f"`python -m benchmarks.dense {options.study} … --size {options.size} --sources {options.sources}`\n")
    studies[options.study](options.scene, options.out, options.size, options.sources)


if __name__ == "__main__":
    main()
