"""A finished run of the demo against the truth about it, as Markdown.

python -m benchmarks.ground_truth results/demo [--sheets FOLDER]

--sheets: also write pictures beside the true ones, to look at.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pycolmap
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.demo_truth import DemoTruth, Surfaces, widely_seen
from benchmarks.truth import (
    FAR,
    KINDS,
    TRANSIENT,
    Similarity,
    Truth,
    align,
    lift,
    look_up,
    photo_names,
    registered,
    resample,
    resample_nearest,
)
from nrw.core.ade20k import label_of
from nrw.core.io import read_csv, read_image, read_json
from nrw.core.pictures import Overview, row
from nrw.dataset.packed import PackedDataset, View
from nrw.evaluation.baselines import apply_affine, fill, fit_affine, recolored
from nrw.evaluation.metrics import compare
from nrw.geometry.cameras import Camera, fit_size
from nrw.geometry.pointcloud import Cloud, read_cloud
from nrw.mvs.workspace import Workspace, read_map
from nrw.scene.files import SceneFiles
from nrw.scene.model import SceneModel

MULTIPLE = 8  # of the sides of every picture
KEYS = (0, 3, 6, 8)  # lights of a sequence whose appearance is taken from the true picture; those between are blended
SEEN_BY = 3  # photos that must see a surface before it can be asked for
MAX_POSE_ERROR = 0.02  # of the scene's size: cameras farther off do not count in the alignment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="results/demo")
    parser.add_argument("--sheets", type=Path, help="folder for pictures beside the true ones")
    arguments = parser.parse_args()
    scene, truth = arguments.scene, Truth()

    print("### Photos\n")
    print(photos(scene, truth))
    cameras = registered(scene, truth)
    names = photo_names(scene)
    true = {photo: truth.camera(truth.photos[names[photo]]) for photo in cameras}
    similarity = align(cameras, true, MAX_POSE_ERROR * truth.size)
    print("\n### Cameras\n")
    print(poses(scene, cameras, true, similarity, truth.size))
    print("\n### Depth\n")
    print(depths(scene, truth, cameras, true, similarity))
    if SceneFiles(scene).classes.is_file():
        print("\n### Labels\n")
        print(labels(scene, truth, cameras))
    print("\n### Pictures\n")
    print(pictures(scene, truth, similarity, arguments.sheets))


def photos(scene: Path, truth: Truth) -> str:
    """What became of the good photos and of each bad file."""
    rows = {entry["file"]: entry for entry in read_csv(SceneFiles(scene).photos_csv)}
    summary = read_json(SceneFiles(scene).sfm_summary)
    left_out = {entry["file"]: entry["reason"] for entry in summary["left_out"]}
    usable = [name for name in truth.photos if rows[name]["verdict"] == "ok"]
    placed = [name for name in usable if name not in left_out]
    lines = [
        f"{len(placed)} of {len(truth.photos)} good photos registered, {len(usable)} judged usable; "
        f"{len(summary['models'])} model(s).\n",
        "| bad file | what is wrong with it | verdict |\n|---|---|---|",
    ]
    for name, fault in truth.bad.items():
        verdict = rows[name]["verdict"]
        if verdict == "ok":
            verdict = f"ok, but not registered: {left_out[name]}" if name in left_out else "ok and registered: WRONG"
        lines.append(f"| {name} | {fault} | {verdict} |")
    return "\n".join(lines)


def poses(
    scene: Path, cameras: Mapping[str, Camera], true: Mapping[str, Camera], similarity: Similarity, size: float
) -> str:
    """Rotation (degrees), position (% of the scene's size) and focal length (%) against the truth."""
    model = pycolmap.Reconstruction(str(SceneFiles(scene).reconstruction))  # with the lenses, before undistortion
    focals = {}
    for image in model.images.values():
        photo, lens = Path(image.name).stem, image.camera
        if photo in true:
            focals[photo] = lens.focal_length * true[photo].width / lens.width
    rows = []
    for photo, camera in cameras.items():
        here, there = similarity.camera_to_truth(camera), true[photo]
        cosine = (np.trace(here.rotation @ there.rotation.T) - 1) / 2
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        focal = focals[photo] / there.fx - 1
        rows.append((angle, 100 * np.linalg.norm(here.center - there.center) / size, 100 * abs(focal)))
    lines = [
        f"Scene size (largest distance between two cameras): {size:.1f} m.\n",
        "| error | median | 90 % | largest |\n|---|---|---|---|",
    ]
    kinds = ("rotation, degrees", "position, % of size", "focal length, %")
    for name, values in zip(kinds, np.transpose(rows), strict=True):
        lines.append(f"| {name} | {np.median(values):.3f} | {np.quantile(values, 0.9):.3f} | {np.max(values):.3f} |")
    return "\n".join(lines)


def depths(
    scene: Path, truth: Truth, cameras: Mapping[str, Camera], true: Mapping[str, Camera], similarity: Similarity
) -> str:
    """Depth maps, and what the framebuffers show of the cloud, against the true depth of the same pixels.

    The error of the pose along the view is part of the depth's.
    """
    workspace, dataset = Workspace(SceneFiles(scene).workspace), PackedDataset(SceneFiles(scene).dataset)
    demo = DemoTruth(SceneFiles(scene).photos_csv)
    views = {
        photo: demo.view(photo, replace(camera, cam_from_world=true[photo].cam_from_world))
        for photo, camera in cameras.items()
    }
    errors = {(source, kind): [] for source in ("depth maps", "cloud, as splats") for kind in KINDS}
    sizes = dict.fromkeys(errors, 0)
    for photo, view in views.items():
        seen = widely_seen(views, photo, SEEN_BY)
        found = {"depth maps": read_map(workspace.depth_map(photo, "geometric"))}
        if photo in dataset.split:
            packed = dataset.view(photo)
            found["cloud, as splats"] = resample_nearest(np.asarray(packed.depth[0]), packed.camera, cameras[photo])
        for source, depth in found.items():
            error = view.error(similarity.scale * depth)
            for kind, members in KINDS.items():
                asked = seen & view.has(members)
                sizes[source, kind] += asked.sum()
                errors[source, kind].append(error[asked & (depth > 0)])
    lines = [
        f"Of true pixels that {SEEN_BY} or more photos see:\n",
        "| | surface | have a depth | median error | within 1 % |\n|---|---|---|---|---|",
    ]
    for (source, kind), parts in errors.items():
        values = np.concatenate(parts)
        lines.append(
            f"| {source} | {kind} | {len(values) / sizes[source, kind]:.1%} | {np.median(values):.2%} | "
            f"{np.mean(values < 0.01):.1%} |"
        )
    points = similarity.points(read_cloud(SceneFiles(scene).cloud).points.astype(float))
    far = Surfaces(list(views.values())).distance(points) > 0.01 * truth.size
    lines.append(f"\n{len(points)} points, {far.mean():.2%} of them off any true surface by more than 1 % of the size.")
    return "\n".join(lines)


def labels(scene: Path, truth: Truth, cameras: Mapping[str, Camera]) -> str:
    """The segmenter's labels of the undistorted photos against the true ones."""
    names = photo_names(scene)
    counts = np.zeros((256, 256), int)  # truth, found
    for photo, camera in cameras.items():
        entry = truth.photos[names[photo]]
        true = resample_nearest(truth.labels(entry), truth.camera(entry), camera)
        found = read_image(SceneFiles(scene).segmentation / f"{photo}.png")
        np.add.at(counts, (true[true > 0], found[true > 0]), 1)

    def overlap(members: frozenset[int]) -> str:
        chosen = np.isin(np.arange(256), list(members))
        both = counts[chosen][:, chosen].sum()
        return f"{both / (counts[chosen].sum() + counts[:, chosen].sum() - both):.3f}"

    lines = [
        f"{counts.diagonal().sum() / counts.sum():.1%} of the pixels right.\n",
        "| intersection over union | |\n|---|---|",
    ]
    lines.append(f"| sky | {overlap(frozenset([label_of('sky')]))} |")
    lines.append(f"| people and vehicles | {overlap(TRANSIENT)} |")
    lines += [f"| {kind}, any of its labels | {overlap(members)} |" for kind, members in KINDS.items()]
    return "\n".join(lines)


def pictures(scene: Path, truth: Truth, similarity: Similarity, sheets: Path | None) -> str:
    """PSNR and SSIM of the network and of the recoloured cloud (R), and flicker, against true pictures."""
    files = SceneFiles(scene)
    model, dataset = files.open("cpu")
    cloud, metrics = files.colored_cloud(), read_json(files.metrics)
    lines = ["| true pictures | pictures | R: PSNR | SSIM | nrw: PSNR | SSIM |\n|---|---|---|---|---|---|"]
    for protocol, methods in metrics["protocols"].items():
        r, ours = methods["R"], methods["ours"]
        lines.append(
            f"| validation photos, people included, {protocol} | {len(metrics['photos'])} | {r['psnr']:.2f} | "
            f"{r['ssim']:.3f} | {ours['psnr']:.2f} | {ours['ssim']:.3f} |"
        )
    studies = {
        "without_transients": empty_views(scene, truth, model, dataset),
        "appearances": appearances(truth, model, dataset, cloud, similarity),
    }
    for name, study in studies.items():
        lines += _scored(name, study, sheets)
    flicker = []
    for light in truth.flythrough["appearances"]:
        frames = list(flythrough(truth, model, dataset, cloud, similarity, light))
        lines += _scored(f"flythrough_{light}", iter(frames), sheets)
        flicker.append((light, *flickers(truth, frames)))
    lines += ["", "| flicker of the fly-through | true frames | R | nrw | nrw / true |\n|---|---|---|---|---|"]
    lines += [f"| {light} | {t:.4f} | {r:.4f} | {o:.4f} | {o / t:.2f} |" for light, t, r, o in flicker]
    return "\n".join(lines)


@dataclass(frozen=True)
class Compared:
    """A true picture, R's and the network's, (H, W, 3) uint8; valid (H, W) bool: what counts; None: everything."""

    group: str
    caption: str
    true: np.ndarray
    r: np.ndarray
    ours: np.ndarray
    valid: np.ndarray | None = None


def _scored(name: str, study: Iterator[Compared], sheets: Path | None) -> list[str]:
    """A row of the table for each group of a study, whose pictures are compared one by one."""
    groups, overview = {}, Overview()
    for item in study:
        masks = {"valid": np.ones(item.true.shape[:2], bool) if item.valid is None else item.valid}
        scores = [compare(picture, item.true, masks) for picture in (item.r, item.ours)]
        groups.setdefault(item.group, []).append([score[f"valid_{f}"] for score in scores for f in ("psnr", "ssim")])
        captions = [f"true, {item.caption}", f"R {scores[0]['psnr']:.1f} dB", f"nrw {scores[1]['psnr']:.1f} dB"]
        overview.add(row([item.true, item.r, item.ours], captions))
    if sheets is not None:
        overview.write(sheets / f"{name}.png")
    lines = []
    for group, rows in groups.items():
        r_psnr, r_ssim, psnr, ssim = np.mean(rows, axis=0)
        lines.append(f"| {group} | {len(rows)} | {r_psnr:.2f} | {r_ssim:.3f} | {psnr:.2f} | {ssim:.3f} |")
    return lines


def empty_views(scene: Path, truth: Truth, model: SceneModel, dataset: PackedDataset) -> Iterator[Compared]:
    """Photos as they would be without people and vehicles, in the appearance of the photo itself."""
    names = photo_names(scene)
    for photo in dataset.ids:
        if names[photo] not in truth.clean:
            continue
        view = dataset.view(photo)
        file = truth.clean[names[photo]]
        true, valid = resample(truth.picture(file), truth.camera(truth.photos[names[photo]]), view.camera)
        ours = model.render_view(view, model.encode(view), predict_labels=model.completion is not None)
        r = recolored(view.color[0], view.depth[0] > 0, np.asarray(view.pixels), (0, 1))
        yield Compared(f"views without transients, {dataset.split[photo]} photos", photo, true, r, ours, valid)


def appearances(
    truth: Truth, model: SceneModel, dataset: PackedDataset, cloud: Cloud, similarity: Similarity
) -> Iterator[Compared]:
    """Views in nine lights: the appearance of some from their true picture, of the others blended between those."""
    for number, entry in enumerate(truth.appearances):
        camera = truth.camera(entry)
        frames = [truth.picture(frame["file"]) for frame in entry["frames"]]
        views = [seen(model, cloud, similarity, camera, frame, dataset) for frame in frames]
        codes = {key: model.encode(views[key]) for key in KEYS}
        for first, last in pairwise(KEYS):
            for k in range(first + 1, last):
                codes[k] = torch.lerp(codes[first], codes[last], (k - first) / (last - first))
        for k, view in enumerate(views):
            kind = "own appearance" if k in KEYS else "interpolated between others"
            true = np.asarray(view.pixels)
            r = recolored(view.color[0], view.depth[0] > 0, true, (0, 1))
            yield Compared(f"light sequence, {kind}", f"{number}.{k}", true, r, model.render_view(view, codes[k]))


def flythrough(
    truth: Truth, model: SceneModel, dataset: PackedDataset, cloud: Cloud, similarity: Similarity, light: str
) -> Iterator[Compared]:
    """A camera path in one light, in the appearance of its middle frame; R's colours too are fitted to that frame."""
    entries = truth.flythrough["frames"]
    middle = entries[len(entries) // 2]
    model_view = seen(model, cloud, similarity, truth.camera(middle), truth.picture(middle["files"][light]), dataset)
    z = model.encode(model_view)
    fit = fit_affine(fill(model_view.color[0], model_view.depth[0] > 0), np.asarray(model_view.pixels))
    for number, entry in enumerate(entries):
        view = seen(model, cloud, similarity, truth.camera(entry), truth.picture(entry["files"][light]), dataset)
        r = apply_affine(fill(view.color[0], view.depth[0] > 0), fit)
        ours = model.render_view(view, z)
        yield Compared(f"fly-through, {light}", f"{number}", np.asarray(view.pixels), r, ours)


def seen(
    model: SceneModel,
    cloud: Cloud,
    similarity: Similarity,
    camera: Camera,
    picture: np.ndarray,
    dataset: PackedDataset,
) -> View:
    """A true picture as a photo of the scene, at the size of the training photos, with the labels of a novel view."""
    longest = max(max(dataset.view(photo).labels.shape) for photo in dataset.ids)
    size = fit_size(camera.width, camera.height, longest, MULTIPLE)
    view = model.view_of(cloud.points, cloud.spacing, cloud.colors, similarity.camera_to_scene(camera.resized(*size)))
    if model.completion is not None:
        view = replace(view, labels=model.predict_labels(view))
    return replace(view, pixels=np.array(Image.fromarray(picture).resize(size, Image.Resampling.BOX)))


def flickers(truth: Truth, frames: list[Compared]) -> tuple[float, float, float]:
    """Mean absolute change, in [0, 1], between successive frames after the true motion: true frames, R, network.

    The frame before is warped by the true depth and cameras; pixels that were hidden or outside do not count.
    """
    sums, count = np.zeros(3), 0
    for (before, there), (after, here) in pairwise(zip(truth.flythrough["frames"], frames, strict=True)):
        size = here.true.shape[1::-1]
        first, second = (truth.camera(entry).resized(*size) for entry in (before, after))
        old, new = (_far_sky(truth.depth(entry), size) for entry in (before, after))
        uv, z = first.project(lift(new, second).reshape(-1, 3))
        same = (np.abs(look_up(old, uv) / z - 1) < 0.02).reshape(new.shape)  # False outside: looked up as 0
        count += same.sum()
        grid = torch.from_numpy(2 * uv.reshape(*new.shape, 2) / size - 1)[None].float()
        for i, kind in enumerate(("true", "r", "ours")):
            past = torch.from_numpy(getattr(there, kind)).permute(2, 0, 1)[None].float()
            warped = F.grid_sample(past, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
            change = np.abs(warped.permute(1, 2, 0).numpy() - getattr(here, kind)) / 255
            sums[i] += change[same].mean(axis=1).sum()
    return tuple(sums / count)


def _far_sky(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A depth map at another size (width, height), nearest pixel, with the sky far away instead of at 0."""
    resized = np.array(Image.fromarray(depth).resize(size, Image.Resampling.NEAREST))
    return np.where(resized > 0, resized, FAR)


if __name__ == "__main__":
    main()
