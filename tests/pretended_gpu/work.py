"""What the tests of this folder run on the pretended GPU: `python work.py PART FOLDER`.

A part returns, by name, what a unit of its work (a training step, a frame, a photo) cost: `kernels`, bytes `up` and
`down`, `waits`, and the places of the last three. It is written to FOLDER/PART.json.
"""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from detail_scene import config as detail_config
from detail_scene import measure as measure_detail
from mvs_scene import Scene, estimate, geometric_passes
from pretended import MixedDevicesError, PretendedGPU, counts, install, restart
from training_scene import BUFFER_OF_2019, make_config, run

from nrw.core.io import write_json
from nrw.dataset.packed import PackedDataset
from nrw.detail.training import pack_detail
from nrw.models import paper2019
from nrw.mvs.workspace import Workspace
from nrw.scene.files import SceneFiles
from nrw.segmentation.segmenter import Segmenter
from nrw.sfm.learned import LearnedMatcher
from nrw.training import rerender
from nrw.videos import shots
from nrw.viewer.session import COLOR, DEPTH, LABELS, PICTURE, Look, Session

STEPS = 1
CROP = 64  # pixels: the discriminator's third picture is a quarter of it
FRAMES = 3
SIZE = 128  # of frames


def per_unit(count: int, less: dict, more: dict) -> dict:
    """What each of `count` further units cost: the difference of two records."""
    places = {
        kind: {place: n / count for place, n in (Counter(more[kind]) - Counter(less[kind])).items()}
        for kind in ("up", "down", "waits")
    }
    totals = {kind: sum(more[kind].values()) - sum(less[kind].values()) for kind in places}
    totals["kernels"] = more["kernels"] - less["kernels"]
    return {**{kind: total / count for kind, total in totals.items()}, "places": places}


def counted(work: Callable[[], object]) -> dict:
    restart()
    work()
    return counts.record()


def repeated(work: Callable[[int], object], count: int = FRAMES) -> dict:
    """What one of `count` repetitions cost, after one that fills the caches."""
    work(0)
    nothing = counted(lambda: None)
    return per_unit(count, nothing, counted(lambda: [work(number + 1) for number in range(count)]))


def steps_of(config: dict, steps: int) -> dict:
    """The configuration with this many steps per stage, and nothing between the first and the last."""
    training = {**config["training"], "tick_kimg": 1000.0, "crop_size": CROP}
    for stage in ("appearance", "rerender", "finetune", "completion"):
        training[stage] = {**training[stage], "kimg": steps * training["batch_size"] / 1000}
        if "half_resolution_share" in training[stage]:
            training[stage]["half_resolution_share"] = 0.0
    return {**config, "training": training, "device": "cuda"}


def trained(folder: Path, config: dict) -> dict:
    """The cost of a step of each stage: all four are trained twice, for STEPS steps and for twice as many."""
    stages = ("appearance", "rerender", "finetune", "completion")
    records = [
        {
            stage: counted(lambda: run(stage, folder / "dataset", folder / str(steps), steps_of(config, steps)))  # noqa: B023
            for stage in stages
        }
        for steps in (STEPS, 2 * STEPS)
    ]
    return {stage: per_unit(STEPS, *(record[stage] for record in records)) for stage in stages}


def train_standard(folder: Path) -> dict:
    """The networks of `standard`, small, with all its losses."""
    losses = {"perceptual": 0.3, "adversarial": 0.01}
    return trained(folder, make_config(losses=losses, color_jitter=1.0, partial_appearance=0.5))


def train_paper(folder: Path) -> dict:
    """The networks of 2019, small."""
    paper2019.MAX_FILTERS = 16  # in place of 512
    losses = {"l1": 0.0, "gradient": 0.0, "dssim": 0.0, "perceptual": 0.3, "adversarial": 1.0}
    config = make_config(losses=losses, schedule="constant", mask_transient=False)
    config["network"] = {**config["network"], "architecture": "paper2019", "z_dim": 8}
    return trained(folder, config | {"buffer": BUFFER_OF_2019})


def train_detail(folder: Path) -> dict:
    """A stage with the photos' own detail beside the buffer, which is measured and packed on the device too."""
    files = SceneFiles(folder)
    for path in files.detail.glob("*.npy"):
        path.unlink()
    found = {"measure_residuals": counted(lambda: measure_detail(files, "cuda"))}
    found["pack_detail"] = counted(
        lambda: pack_detail(
            files.dataset, files.detail, files.framebuffers, files.training_detail, device="cuda", threads=1
        )
    )
    found = {
        name: per_unit(len(PackedDataset(files.dataset)), counted(lambda: None), cost) for name, cost in found.items()
    }
    records = [counted(lambda steps=steps: train_with_detail(files, steps)) for steps in (STEPS, 2 * STEPS)]
    return found | {"rerender": per_unit(STEPS, *records)}


def train_with_detail(files: SceneFiles, steps: int) -> None:
    out = files.root / str(steps)
    folders = files.stage("appearance"), out, out / "checkpoints"
    rerender.train(files.dataset, files.training_detail, *folders, steps_of(detail_config(), steps))


def draw(folder: Path) -> dict:
    """A view's picture, and frames of videos."""
    files = SceneFiles(folder)
    views, dataset = files.open_views("cuda")
    model = views.model
    photo = dataset.view(dataset.val_ids[0])
    camera, z = photo.camera.resized(SIZE, 3 * SIZE // 4), model.encode(photo)
    others = [dataset.view(photo_id) for photo_id in dataset.train_ids[:3]]
    found = {
        "encode": repeated(lambda number: model.encode(others[number % 3])),
        "render_view": repeated(lambda _: model.render_view(photo, z, predict_labels=True)),
        "refine": repeated(lambda _: model.refine(photo, z, (0.0, 0.5), 2), 1),
        "view": repeated(lambda _: views.draw(views.see(camera), z)),
    }
    ids = dataset.train_ids[:2]
    codes = shots.encode(model, dataset, ids)
    cameras = [dataset.view(photo_id).camera for photo_id in ids]
    moving = shots.joint_shots(cameras, ids, codes, 2 * FRAMES, (SIZE, 3 * SIZE // 4))
    still = [shots.Shot(camera, shot.appearance, shot.photos) for shot in moving]
    for name, planned in (("moving frame", moving), ("still frame", still)):
        list(shots.draw(views, planned))  # fills the caches
        halves = [counted(lambda: list(shots.draw(views, planned[:count]))) for count in (FRAMES, 2 * FRAMES)]  # noqa: B023
        found[name] = per_unit(FRAMES, *halves)
    return found


def view(folder: Path) -> dict:
    """The viewer's pictures: from a new place each, in all modes, and from the same place in another light."""
    files = SceneFiles(folder)
    session = Session(files, *files.open_views("cuda"))
    first = session.start()
    viewpoints = [session.place(photo_id, 4 / 3)[0] for photo_id in session.ids[: FRAMES + 1]]
    found = {}
    for mode in (PICTURE, COLOR, DEPTH, LABELS):
        look = Look(mode, first.photos, 0.3)
        found[mode] = repeated(lambda number: session.draw(viewpoints[number], look, SIZE))  # noqa: B023
    found["other light"] = repeated(
        lambda number: session.draw(viewpoints[0], Look(PICTURE, first.photos, 0.1 * number), SIZE)
    )
    session.snapshot(viewpoints[0], first, SIZE)
    return found


def depths(folder: Path) -> dict:
    """The three depth passes."""
    workspace = Workspace(folder / "mvs")
    scene = Scene(folder / "mvs", workspace.cameras, sorted(workspace.cameras))
    nothing, count = counted(lambda: None), len(scene.ids)
    found = {"photometric": per_unit(count, nothing, counted(lambda: estimate(scene, device="cuda")))}
    for kind in ("consensus", "geometric"):
        cost = counted(lambda: geometric_passes(scene, kinds=(kind,), device="cuda"))  # noqa: B023
        found[kind] = per_unit(count, nothing, cost)
    return found


def rescue(folder: Path) -> dict:
    """A photo's learned features, and the matches of a pair."""
    matcher = LearnedMatcher(folder, "cuda")
    np.save(folder / "matches.npy", matcher.match([("0.jpg", "1.jpg")], "matching")[0])
    return {
        "photo": repeated(lambda number: matcher.picture(f"{number + 2}.jpg")),
        "pair": repeated(lambda number: matcher.match([("0.jpg", f"{number}.jpg")], "matching")),
    }


def segment(folder: Path) -> dict:
    """A photo's labels."""
    segmenter = Segmenter(str(folder / "segformer"), 64, "cuda")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    return {"photo": repeated(lambda _: segmenter(pixels))}


def refuse(_: Path) -> dict:
    """What a CUDA device refuses, and what it counts."""
    here, there = torch.ones(2, 3), torch.ones(2, 3, device="cuda")
    said = {}
    for name, work in {
        "sum": lambda: here + there,
        "product": lambda: there @ here.T,
        "index": lambda: here[there[:, 0].long()],
        "values": lambda: there.index_put_((torch.tensor([0]),), here[:1]),
        "numpy": there.numpy,
        "array": lambda: np.asarray(there),
    }.items():
        try:
            work()
        except (MixedDevicesError, TypeError) as error:
            said[name] = str(error)
    some = there > 0
    costs = {
        "upload": lambda: here.to("cuda"),
        "upload without waiting": lambda: here.to("cuda", non_blocking=True),
        "download": there.cpu,
        "number": lambda: float(there.sum()),
        "boolean index": lambda: there[some],
        "list as index": lambda: there[[0, 1]],
        "sum with itself": lambda: there + there,
    }
    return {
        "said": said,
        "costs": {name: per_unit(1, counted(lambda: None), counted(work)) for name, work in costs.items()},
    }


PARTS = {
    part.__name__: part
    for part in (train_standard, train_paper, train_detail, draw, view, depths, rescue, segment, refuse)
}


def main(part: str, folder: str) -> None:
    torch.set_num_threads(1)
    install()
    with PretendedGPU():
        found = PARTS[part](Path(folder))
    write_json(Path(folder) / f"{part}.json", found)


if __name__ == "__main__":
    main(*sys.argv[1:])
