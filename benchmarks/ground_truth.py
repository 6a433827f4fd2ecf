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

from benchmarks.alignment import aligned
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
from nrw.evaluation.baselines import apply_colors, fit_colors, fitted, renders
from nrw.evaluation.metrics import compare
from nrw.geometry.cameras import Camera, fit_size
from nrw.geometry.pointcloud import Cloud, read_cloud
from nrw.mvs.workspace import Workspace, read_map
from nrw.scene.files import SceneFiles
from nrw.scene.model import SceneModel
from nrw.scene.views import Views

MULTIPLE = 8  # of the sides of every picture
KEYS = (0, 3, 6, 8)  # lights of a sequence whose appearance is taken from the true picture; those between are blended
SEEN_BY = 3  # photos that must see a surface before it can be asked for
MAX_POSE_ERROR = 0.02  # of the scene's size: cameras farther off do not count in the alignment
SCORES = {  # title, format
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "flip": ("FLIP", ".3f"),
    "perceptual": ("perceptual", ".3f"),
    "sharpness": ("sharpness", ".2f"),
}


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
    """Scores of the network and of the baselines against true pictures, and flicker.

    Pictures at cameras of the truth are scored a second time, each moved onto the true one (`benchmarks.alignment`).
    """
    files = SceneFiles(scene)
    model, dataset = files.open("cpu")
    cloud, metrics = files.colored_cloud(), read_json(files.metrics)
    lines = [
        f"| true pictures | pictures | method | {' | '.join(title for title, _ in SCORES.values())} |",
        "|---" * (3 + len(SCORES)) + "|",
    ]
    for protocol, methods in metrics["protocols"].items():
        group = f"validation photos, people included, {protocol}"
        made = {method: scores for method, scores in methods.items() if method != "raw"}
        lines += [_line(group, len(metrics["photos"]), method, scores) for method, scores in made.items()]
    studies = {
        "without_transients": empty_views(scene, truth, model, dataset),
        "appearances": appearances(truth, model, dataset, cloud, similarity),
    }
    for name, study in studies.items():
        lines += _scored(name, study, sheets)
    flicker = ["", "| flicker of the fly-through | method | change | of the true frames' |", "|---|---|---|---|"]
    for light in truth.flythrough["appearances"]:
        frames = list(flythrough(truth, model, dataset, cloud, similarity, light))
        lines += _scored(f"flythrough_{light}", iter(frames), sheets)
        found = flickers(truth, frames)
        flicker += [f"| {light} | {method} | {v:.4f} | {v / found['true']:.2f} |" for method, v in found.items()]
    return "\n".join(lines + flicker)


@dataclass(frozen=True)
class Compared:
    """A true picture and those of the methods, (H, W, 3) uint8.

    hit (H, W) bool: where the methods show something, by which they are aligned; None: nothing to align. valid (H, W)
    bool: what counts; None: everything.
    """

    group: str
    caption: str
    true: np.ndarray
    made: Mapping[str, np.ndarray]
    hit: np.ndarray | None = None
    valid: np.ndarray | None = None


def _scored(name: str, study: Iterator[Compared], sheets: Path | None) -> list[str]:
    """Rows of the table for each group of a study, whose pictures are compared one by one."""
    groups: dict[tuple[str, str], list[dict]] = {}  # group, method
    overview = Overview()
    for item in study:
        captions = []
        for method, picture in item.made.items():
            scores = _compare(picture, item.true, item.valid)
            groups.setdefault((item.group, method), []).append(scores)
            captions.append(f"{method} {scores['psnr']:.1f} dB")
        overview.add(row([item.true, *item.made.values()], [f"true, {item.caption}", *captions]))
        if item.hit is not None:
            for method, picture in item.made.items():
                scores = _compare(aligned(picture, item.true, item.hit), item.true, item.valid)
                groups.setdefault((f"{item.group}, each aligned", method), []).append(scores)
    if sheets is not None:
        overview.write(sheets / f"{name}.png")
    return [_line(group, len(rows), method, _means(rows)) for (group, method), rows in groups.items()]


def _compare(picture: np.ndarray, true: np.ndarray, valid: np.ndarray | None) -> dict[str, float | None]:
    """SCORES over the pixels that count; the perceptual distance, which knows no pixels, of whole pictures only."""
    if valid is None:
        return compare(picture, true, {})
    scores = compare(picture, true, {"valid": valid})
    return {score: scores.get(f"valid_{score}") for score in SCORES}


def _means(rows: list[dict]) -> dict[str, float | None]:
    values = {score: [row[score] for row in rows if row[score] is not None] for score in SCORES}
    return {score: float(np.mean(found)) if found else None for score, found in values.items()}


def _line(group: str, count: int, method: str, scores: Mapping[str, float | None]) -> str:
    texts = ["–" if scores.get(score) is None else format(scores[score], form) for score, (_, form) in SCORES.items()]
    return f"| {group} | {count} | {method} | {' | '.join(texts)} |"


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
        made = {**_baselines(view), "ours": ours}
        yield Compared(f"views without transients, {dataset.split[photo]} photos", photo, true, made, valid=valid)


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
            made = {**_baselines(view), "ours": model.render_view(view, codes[k])}
            hit = np.asarray(view.depth[0]) > 0
            yield Compared(f"light sequence, {kind}", f"{number}.{k}", np.asarray(view.pixels), made, hit)


def _baselines(view: View) -> dict[str, np.ndarray]:
    return {method: fitted(render, np.asarray(view.pixels), (0, 1)) for method, render in renders(view).items()}


def flythrough(
    truth: Truth, model: SceneModel, dataset: PackedDataset, cloud: Cloud, similarity: Similarity, light: str
) -> Iterator[Compared]:
    """A camera path in one light, in the appearance of its middle frame, to which the baselines' colours are fitted."""
    entries = truth.flythrough["frames"]
    middle = entries[len(entries) // 2]
    model_view = seen(model, cloud, similarity, truth.camera(middle), truth.picture(middle["files"][light]), dataset)
    z = model.encode(model_view)
    fits = {method: fit_colors(render, np.asarray(model_view.pixels)) for method, render in renders(model_view).items()}
    for number, entry in enumerate(entries):
        view = seen(model, cloud, similarity, truth.camera(entry), truth.picture(entry["files"][light]), dataset)
        made = {method: apply_colors(render, fits[method]) for method, render in renders(view).items()}
        made["ours"] = model.render_view(view, z)
        hit = np.asarray(view.depth[0]) > 0
        yield Compared(f"fly-through, {light}", f"{number}", np.asarray(view.pixels), made, hit)


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
    scale, splat = dataset.meta["scale"], dataset.meta["splat"]
    full = similarity.camera_to_scene(camera.resized(*(scale * side for side in size)))
    view = Views(model, cloud, None, scale=scale, splat=splat).see(full).view
    return replace(view, pixels=np.array(Image.fromarray(picture).resize(size, Image.Resampling.BOX)))


def flickers(truth: Truth, frames: list[Compared]) -> dict[str, float]:
    """Mean absolute change, in [0, 1], between successive frames after the true motion: `true` frames and each method.

    The frame before is warped by the true depth and cameras; pixels that were hidden or outside do not count.
    """
    sums, count = dict.fromkeys(["true", *frames[0].made], 0.0), 0
    for (before, there), (after, here) in pairwise(zip(truth.flythrough["frames"], frames, strict=True)):
        size = here.true.shape[1::-1]
        first, second = (truth.camera(entry).resized(*size) for entry in (before, after))
        old, new = (_far_sky(truth.depth(entry), size) for entry in (before, after))
        uv, z = first.project(lift(new, second).reshape(-1, 3))
        same = (np.abs(look_up(old, uv) / z - 1) < 0.02).reshape(new.shape)  # False outside: looked up as 0
        count += same.sum()
        grid = torch.from_numpy(2 * uv.reshape(*new.shape, 2) / size - 1)[None].float()
        for method in sums:
            old_frame, new_frame = (item.true if method == "true" else item.made[method] for item in (there, here))
            past = torch.from_numpy(old_frame).permute(2, 0, 1)[None].float()
            warped = F.grid_sample(past, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
            change = np.abs(warped.permute(1, 2, 0).numpy() - new_frame) / 255
            sums[method] += float(change[same].mean(axis=1).sum())
    return {method: value / count for method, value in sums.items()}


def _far_sky(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A depth map at another size (width, height), nearest pixel, with the sky far away instead of at 0."""
    resized = np.array(Image.fromarray(depth).resize(size, Image.Resampling.NEAREST))
    return np.where(resized > 0, resized, FAR)


if __name__ == "__main__":
    main()
