"""Measures nrw on a GPU within ten minutes, on a machine without network that has little more than torch.

python -m benchmarks.gpu prepare results/demo gpu        beforehand, where all packages are; 20 MB; needs no GPU
python -m benchmarks.gpu references gpu OUT              beforehand too: what the CPU computes, into gpu/; many minutes
python -m benchmarks.gpu measure gpu OUT                 there: a table, and OUT/gpu.json with all numbers

To try it on a CPU: prepare with --photos 4, then references and measure with --small, measure with --device cpu.

Parts (--only PART …): ceilings, scene, rasterize, depths, segment, train, steps, views, viewer, frames. Each stands for
itself: what fails is a row of the table. A part that would begin after --minutes (9) is left out.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as nrw.cli sets it

import numpy as np
import torch

from benchmarks.gpu_folder import PRESETS, build_scene, prepare, shrunk, stand_in

STAGES = ("appearance", "rerender", "finetune", "completion")
THREADS = int(os.environ.get("OMP_NUM_THREADS", min(8, os.cpu_count() or 1)))
REFERENCES = "references.npz"
TRAINED_STEPS = 20
SAME_DEPTH = 0.01  # relative
AGREEMENT = 0.99  # least share of values that are the CPU's
# largest relative difference of a loss from the CPU's: before anything is learned, and after two steps of rounding
LOSSES = {0: 0.03, 2: 0.1}


@dataclass
class Row:
    """A line of the table. passed: None where nothing is judged."""

    part: str
    name: str
    value: object
    unit: str = ""
    passed: bool | None = None


@dataclass
class Run:
    """What the parts share. references: what the CPU computed beforehand, by name; empty while that is done."""

    folder: Path
    out: Path
    device: torch.device
    small: bool
    references: dict[str, np.ndarray] = field(default_factory=dict)
    found: dict[str, np.ndarray] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    part: str = ""

    def config(self, preset: str) -> dict:
        """A preset as it is trained here, from the budget's start to its end."""
        config = json.loads((self.folder / f"{preset}.json").read_text())
        config = shrunk(config) if self.small else config
        return {**config, "device": self.device.type, "training": {**config["training"], "threads": THREADS}}

    @property
    def files(self):
        from nrw.scene.files import SceneFiles

        return SceneFiles(self.out / "scene")

    def row(self, name: str, value: object, unit: str = "", passed: bool | None = None) -> None:
        self.rows.append(Row(self.part, name, value, unit, passed))
        print(line(self.rows[-1]), flush=True)

    def agrees(self, name: str, values: np.ndarray, equal: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        """Compare with what the CPU computed: a row with the share of equal values."""
        self.found[name] = values
        if name in self.references:
            share = float(np.mean(equal(values, self.references[name])))
            self.row(f"{name} as on the CPU", round(100 * share, 2), "%", share >= AGREEMENT)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[int], object], times: int) -> float:
        """Seconds per call of work(number), after one call."""
        work(0)
        self.synchronize()
        started = time.perf_counter()
        for number in range(1, times + 1):
            work(number)
        self.synchronize()
        return (time.perf_counter() - started) / times

    @contextmanager
    def peak(self, name: str) -> Iterator[None]:
        """A row with the largest memory that the block had on the device."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        yield
        if self.device.type == "cuda":
            self.row(f"{name}: peak memory", round(torch.cuda.max_memory_allocated() / 1e9, 2), "GB")


def line(row: Row) -> str:
    judged = {None: "", True: "pass", False: "FAIL"}[row.passed]
    value = f"{row.value:.4g}" if isinstance(row.value, float) else str(row.value)
    return f"| {row.part} | {row.name} | {value} | {row.unit} | {judged} |"


def ceilings(run: Run) -> None:
    """What the card can do at best: products, copies, uploads."""
    size = 256 if run.small else 8192
    for name, kind in (("bfloat16", torch.bfloat16), ("float32 (TF32 where torch allows it)", torch.float32)):
        a = torch.ones(size, size, device=run.device, dtype=kind)
        run.row(f"product, {name}", 2 * size**3 / run.seconds(lambda _: a @ a, 10) / 1e12, "TFLOP/s")  # noqa: B023
    numbers = torch.ones(size * size // 4, device=run.device)
    run.row("copy on the device", 2 * numbers.nbytes / run.seconds(lambda _: numbers.clone(), 10) / 1e9, "GB/s")
    kinds = {"pageable": torch.ones(size * size // 4)}
    if run.device.type == "cuda":
        kinds["pinned"] = kinds["pageable"].pin_memory()
    for name, host in kinds.items():
        seconds = run.seconds(lambda _: host.to(run.device, non_blocking=True), 10)  # noqa: B023
        run.row(f"upload, {name}", host.nbytes / seconds / 1e9, "GB/s")


def scene(run: Run) -> None:
    """Rasters, packed set and detail of the photos, on the CPU: the other parts need them."""
    started = time.perf_counter()
    build_scene(run.folder, run.out / "scene", run.config("standard"), THREADS)
    run.row("built on the CPU", time.perf_counter() - started, "s")


def rasterize(run: Run) -> None:
    """A photo's view of the cloud, and its colors."""
    from nrw.dataset.packed import PackedDataset
    from nrw.geometry.rasterize import Geometry, locate
    from nrw.geometry.rasterize import rasterize as drawn

    cloud, dataset = run.files.colored_cloud(), PackedDataset(run.files.dataset)
    camera = dataset.view(dataset.train_ids[0]).camera
    camera = camera.resized(*(2 * side for side in (camera.width, camera.height)))
    geometry = Geometry.of(cloud, run.device)
    colors = torch.from_numpy(np.array(cloud.colors)).to(run.device).T
    buffer = drawn(geometry, camera, 3)
    run.agrees("primitives", buffer.primitive.cpu().numpy(), np.equal)
    shaded = locate(geometry, camera, buffer).shade(colors)
    run.agrees("colors", shaded.round().byte().movedim(0, 2).cpu().numpy(), lambda a, b: np.abs(a.astype(int) - b) <= 1)
    size = f"{camera.width} x {camera.height}, {len(cloud)} points"
    run.row(f"rasterize {size}", 1000 * run.seconds(lambda _: drawn(geometry, camera, 3), 5), "ms")
    shade = run.seconds(lambda _: locate(geometry, camera, buffer).shade(colors), 5)
    run.row("locate and shade", 1000 * shade, "ms")


def depths(run: Run) -> None:
    """The depth passes over all photos; the maps of two are compared."""
    from nrw.mvs.geometric import PASSES, match_with_neighbours
    from nrw.mvs.photometric import photometric_depths
    from nrw.mvs.workspace import Workspace, read_map

    config, workspace = run.config("standard")["mvs"], Workspace(run.files.workspace)
    ids, options = list(workspace.cameras), {"sources": config["sources"], "device": run.device.type}

    def match(kind: str) -> None:
        if kind == "photometric":
            photometric_depths(workspace.root, None, ids, **options)
        else:
            key = run.out / f"{kind}.key"
            match_with_neighbours(workspace.root, None, ids, key, kind, **options, min_views=config["min_views"])

    for kind in ("photometric", *PASSES):
        with run.peak(kind):
            started = time.perf_counter()
            match(kind)
            run.synchronize()
            run.row(kind, (time.perf_counter() - started) / len(ids), "s per photo")
        maps = np.concatenate([read_map(workspace.depth_map(photo_id, kind)).ravel() for photo_id in ids[:2]])
        run.agrees(f"{kind} depths", maps, lambda a, b: np.isclose(a, b, rtol=SAME_DEPTH, atol=0))


def segment(run: Run) -> None:
    """A model of the size of the preset's, with random weights."""
    from transformers import ConvNextConfig, SegformerImageProcessor, UperNetConfig, UperNetForSemanticSegmentation

    from nrw.core.ade20k import ADE20K_NAMES
    from nrw.segmentation.segmenter import Segmenter

    folder, widths = run.out / "segmenter", [8, 8, 8, 8] if run.small else [256, 512, 1024, 2048]
    backbone = ConvNextConfig(
        hidden_sizes=widths, depths=[1, 1, 1, 1] if run.small else [3, 3, 27, 3],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    labels = {"id2label": dict(enumerate(ADE20K_NAMES)), "label2id": {name: i for i, name in enumerate(ADE20K_NAMES)}}
    torch.manual_seed(0)
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=16 if run.small else 512, auxiliary_in_channels=widths[2], **labels
    )
    UperNetForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor().save_pretrained(folder)
    size = run.config("standard")["segmentation"]["max_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (size * 3 // 4, size, 3), np.uint8)
    with run.peak("labels"):
        segmenter = Segmenter(str(folder), size, run.device.type)
        run.row(f"labels of a photo, {size} px", 1000 * run.seconds(lambda _: segmenter(pixels), 5), "ms")


def stage_of(run: Run, name: str, config: dict, out: Path, init: Path):
    """A stage of training, as `nrw.training.loop.run` takes it."""
    from nrw.training.appearance import AppearanceStage
    from nrw.training.completion import CompletionStage
    from nrw.training.rerender import RerenderStage

    dataset, folders = run.files.dataset, (out / name, out / "checkpoints" / name)
    if name == "appearance":
        return AppearanceStage(dataset, *folders, config)
    if name == "completion":
        return CompletionStage(dataset, *folders, config)
    return RerenderStage(name, dataset, detail_of(run, config), init, *folders, config)


def detail_of(run: Run, config: dict) -> Path | None:
    return run.files.training_detail if config["buffer"]["detail"] else None


def train(run: Run) -> None:
    """All stages of both presets for a few steps, as the workflow trains them; one is stopped and goes on."""
    from nrw.training import appearance, completion, rerender

    for preset in PRESETS:
        config, out = run.config(preset), run.out / preset
        training = {**config["training"], "tick_kimg": config["training"]["batch_size"] * 5 / 1000}
        for name in STAGES:
            batch = training[name].get("batch_size", training["batch_size"])
            training[name] = {**training[name], "kimg": TRAINED_STEPS * batch / 1000}
        config = {**config, "training": training}
        for name, before in zip(STAGES, (None, "appearance", "rerender", None), strict=True):
            folders = (out / name, out / "checkpoints" / name)
            if before is None:
                work = {"appearance": appearance, "completion": completion}[name].train
                arguments = (run.files.dataset, *folders, config)
            else:
                work = rerender.train
                arguments = (run.files.dataset, detail_of(run, config), out / before, *folders, config, name)
            with run.peak(f"{preset}, {name}"):
                started = time.perf_counter()
                if name == "rerender":
                    run.row(f"{preset}, {name}: stopped and resumed", *stopped_and_resumed(work, arguments, folders[1]))
                else:
                    work(*arguments)
                run.row(f"{preset}, {name}: {TRAINED_STEPS} steps", time.perf_counter() - started, "s")
            rows = [json.loads(text) for text in (folders[0] / "stats.jsonl").read_text().splitlines()]
            run.row(f"{preset}, {name}: last step", rows[-1]["step"], "", rows[-1]["step"] == TRAINED_STEPS)


def stopped_and_resumed(work: Callable, arguments: tuple, checkpoints: Path) -> tuple[object, str, bool]:
    """Stop a stage as a shutdown does once it has a checkpoint, and run it again: the row's value, unit and verdict."""
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.005):
            if any(checkpoints.glob("*.safetensors")):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    try:
        work(*arguments)
        return "it was over before", "", False
    except SystemExit:
        pass
    finally:
        over.set()
        stopper.join()
    said: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("nrw.training.checkpoint")
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    work(*arguments)
    logger.removeHandler(listener)
    resumed = [text for text in said if text.startswith("resuming after step")]
    return (resumed[0].split(",")[0] if resumed else "from the beginning"), "", bool(resumed)


def steps(run: Run) -> None:
    """Steps at the end of each stage, where it costs most: time, share of the GPU, memory, the first losses."""
    for preset in PRESETS:
        config = run.config(preset)
        start = run.out / f"{preset}_steps"
        for name in STAGES:
            settings = {**config["training"], name: {**config["training"][name], "kimg": 1000}}
            torch.manual_seed(0)
            stage = stage_of(run, name, {**config, "training": settings}, start, initial(run, preset, config))
            if name == "appearance":
                stage.prepare(0)
            first = int(0.9 * stage.steps)
            with run.peak(f"{preset}, {name}"):
                for number in range(max(LOSSES) + 1):
                    compare_losses(run, f"{preset}, {name}", number, advance(stage, first + number))
                if not run.references and run.device.type == "cpu":
                    continue  # this is what makes the references
                count = 2 if run.small else 20
                seconds = run.seconds(lambda n: advance(stage, first + 3 + n), count)  # noqa: B023
                run.row(f"{preset}, {name}: a step of {stage.batch_size}", 1000 * seconds, "ms")
                if run.device.type == "cuda":
                    profile(run, f"{preset}, {name}", lambda: [advance(stage, first + 30 + n) for n in range(5)], 5)  # noqa: B023


def initial(run: Run, preset: str, config: dict) -> Path:
    """The weights that stages 2 and 3 start from: an encoder that is not trained."""
    from nrw.training import appearance

    out = run.out / f"{preset}_initial"
    if not (out / "model.safetensors").is_file():
        stage = {**config["training"]["appearance"], "kimg": 0}
        untrained = {**config, "device": "cpu", "training": {**config["training"], "appearance": stage}}
        appearance.train(run.files.dataset, out, out / "checkpoints", untrained)
    return out


def advance(stage, number: int) -> dict[str, float]:
    """Take a step as `nrw.training.loop.run` does; returns its losses."""
    from nrw.training.sampler import generator_of
    from nrw.training.stage import set_learning_rates

    rng = generator_of(stage.config["seed"], stage.name, number)
    torch.manual_seed(int(rng.integers(2**63)))
    for optimizer in stage.optimizers.values():
        set_learning_rates(optimizer, stage.config, number, stage.steps)
        optimizer.zero_grad(set_to_none=True)
    losses = stage.step(number, rng)
    return dict(zip(losses, torch.stack([loss.detach().float() for loss in losses.values()]).tolist(), strict=True))


def compare_losses(run: Run, name: str, number: int, losses: dict[str, float]) -> None:
    """Compare the losses of a step, counted from the first, with the CPU's."""
    if number not in LOSSES:
        return
    key = f"{name}: losses after {number} steps"
    run.found[key] = np.array(list(losses.values()))
    if key in run.references:
        expected = run.references[key]
        worst = float(np.max(np.abs(run.found[key] - expected) / np.maximum(np.abs(expected), 1e-3)))
        run.row(f"{key} against the CPU's", round(100 * worst, 3), "% apart", worst < LOSSES[number])


def profile(run: Run, name: str, work: Callable[[], object], count: int) -> None:
    """Rows of what the GPU did: per unit its own time, the uploads, kernels, and the share of the time it was busy."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    if not set(activities) <= set(torch.profiler.supported_activities()):
        return
    run.synchronize()
    with torch.profiler.profile(activities=activities) as profiler:
        started = time.perf_counter()
        work()
        run.synchronize()
        seconds = time.perf_counter() - started
    events = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    uploads = [event for event in events if "HtoD" in event.name]
    busy = union([(event.time_range.start, event.time_range.end) for event in events]) / 1e6
    up = sum(event.time_range.elapsed_us() for event in uploads) / 1e6
    run.row(f"{name}: kernels", round((len(events) - len(uploads)) / count), "")
    run.row(f"{name}: GPU at work", 1000 * (busy - up) / count, "ms")
    run.row(f"{name}: uploads", 1000 * up / count, "ms")
    run.row(f"{name}: neither (the CPU builds)", 1000 * max(0.0, seconds - busy) / count, "ms")
    run.row(f"{name}: GPU busy", round(100 * busy / seconds, 1), "%")


def union(spans: list[tuple[float, float]]) -> float:
    """The length that spans cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def opened(run: Run):
    """The views of the scene with the networks of `standard` as `train` left them, and its data set."""
    for name in ("finetune", "completion"):
        link = run.files.stage(name)
        if not link.is_symlink():
            link.symlink_to((run.out / "standard" / name).absolute())
    return run.files.open_views(run.device.type)


def enlarged(run: Run, views, count: int):
    """The same views of a cloud of `count` points: loose ones around those that are there."""
    from dataclasses import replace

    from nrw.geometry.pointcloud import Cloud
    from nrw.models.inputs import PointFeatures, PointLighting
    from nrw.scene.views import Views

    cloud, networks = views.cloud, views.model.networks
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(cloud), size=max(0, count - len(cloud)))
    scatter = rng.normal(0, 0.002, (len(chosen), 3)).astype(np.float32)
    every = np.concatenate([np.arange(len(cloud)), chosen])
    points = np.concatenate([cloud.points, cloud.points[chosen] + scatter])
    spacing = None if cloud.spacing is None else np.resize(cloud.spacing, len(points))
    larger = Cloud(points, cloud.colors[every], cloud.normals[every], spacing, cloud.faces)
    index = torch.from_numpy(every).to(run.device)
    if networks.lighting is not None:
        table = networks.lighting.table[index % len(networks.lighting.table)]
        networks.lighting = PointLighting(len(points), table.shape[1])
        networks.lighting.table = table
    completion = views.model.completion
    for trained in (networks, completion.network if completion is not None else None):
        if trained is not None and trained.points is not None:
            values = trained.points.table.data[index % len(trained.points.table)]
            trained.points = PointFeatures(len(points), values.shape[1])
            trained.points.table = torch.nn.Parameter(values, requires_grad=False)
    views.model.spec = replace(views.model.spec, n_points=len(points))
    return Views(views.model, larger, views.sources, views.skies, scale=views.scale, splat=views.splat)


def views(run: Run) -> None:
    """New views of clouds of several sizes."""
    from dataclasses import replace

    drawn, dataset = opened(run)
    photo = dataset.view(dataset.train_ids[0])
    z = drawn.model.encode(photo)
    for count in (len(drawn.cloud), *((300_000,) if run.small else (1_000_000, 5_000_000))):
        drawn = drawn if count == len(drawn.cloud) else enlarged(run, drawn, count)
        for width, height in ((64, 64), (96, 56)) if run.small else ((512, 512), (1280, 720)):
            camera = photo.camera.resized(width, height)

            def frame(number: int, camera=camera, drawn=drawn) -> np.ndarray:
                pose = camera.cam_from_world.copy()
                pose[0, 3] += 0.002 * number
                return drawn.draw(drawn.see(replace(camera, cam_from_world=pose)), z)

            name = f"view {width} x {height}, {count} points"
            with run.peak(name):
                seconds = run.seconds(frame, 2 if run.small else 10)
                run.row(name, 1 / seconds, "pictures/s")
            if run.device.type == "cuda":
                profile(run, name, lambda: [frame(n) for n in range(5)], 5)


def viewer(run: Run) -> None:
    """The viewer's pictures: while the camera moves, and in another light."""
    from nrw.viewer.session import Look, Session

    session = Session(run.files, *opened(run))
    start, size = session.start(), 64 if run.small else 512
    places = [session.place(photo_id, 16 / 9)[0] for photo_id in session.ids]
    count = 2 if run.small else 10
    moving = run.seconds(lambda n: session.draw(places[n % len(places)], start, size), count)
    run.row(f"moving, {size} px", 1 / moving, "pictures/s")
    light = run.seconds(lambda n: session.draw(places[0], Look(start.mode, start.photos, 0.05 * n), size), count)
    run.row(f"another light, {size} px", 1 / light, "pictures/s")


def frames(run: Run) -> None:
    """Ten frames of a video that moves viewpoint and light, not encoded."""
    from nrw.videos import shots

    drawn, dataset = opened(run)
    ids = dataset.train_ids[:2]
    codes = shots.encode(drawn.model, dataset, ids)
    cameras = [dataset.view(photo_id).camera for photo_id in ids]
    size = 96 if run.small else run.config("standard")["videos"]["size"]
    planned = shots.joint_shots(cameras, ids, codes, 11, shots.wide(size))
    pictures = shots.draw(drawn, planned)
    seconds = run.seconds(lambda _: next(pictures), 10)
    run.row(f"frame of {size} px", 1 / seconds, "frames/s")


PARTS = {
    part.__name__: part
    for part in (ceilings, scene, rasterize, depths, segment, train, steps, views, viewer, frames)
}  # fmt: skip
REFERENCE_PARTS = ("scene", "rasterize", "depths", "steps")


def measure(run: Run, only: list[str], minutes: float) -> bool:
    """Run the parts, print the table, write gpu.json; returns whether nothing failed."""
    run.out.mkdir(parents=True)
    if run.device.type == "cuda":
        properties = torch.cuda.get_device_properties(run.device)
        run.row(
            f"{properties.name}, compute capability {properties.major}.{properties.minor}, torch", torch.__version__
        )
    started = time.monotonic()
    for name, work in PARTS.items():
        if name not in only:
            continue
        run.part = name
        if time.monotonic() - started > 60 * minutes:
            run.row("left out: the time is over", "", "", False)
            continue
        before = time.monotonic()
        try:
            work(run)
        except Exception as error:
            traceback.print_exc()
            run.row(f"failed: {type(error).__name__}: {error}"[:200], "", "", False)
        run.row("all of it", time.monotonic() - before, "s")
    failed = [row for row in run.rows if row.passed is False]
    print("\n| part | what | value | unit | verdict |\n|---|---|---|---|---|")
    print("\n".join(map(line, run.rows)))
    print(f"\n{sum(row.passed is True for row in run.rows)} passed, {len(failed)} failed")
    (run.out / "gpu.json").write_text(json.dumps([asdict(row) for row in run.rows], indent=2))
    return not failed


def references(folder: Path, out: Path, small: bool) -> None:
    """Add to a prepared folder what the CPU computes."""
    run = Run(folder, out, torch.device("cpu"), small)
    if not measure(run, list(REFERENCE_PARTS), minutes=float("inf")):
        sys.exit("the references are not complete")
    np.savez_compressed(folder / REFERENCES, **run.found)


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "references", "measure"])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--photos", type=int, default=8, help="of a prepared folder")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9.0)
    options = parser.parse_args(words)
    if options.action == "prepare":
        prepare(options.source, options.out, options.photos)
        return
    stand_in()
    if options.small:
        from nrw.models import paper2019

        paper2019.MAX_FILTERS = 16  # in place of 512
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if options.action == "references":
        references(options.source, options.out, options.small)
        return
    run = Run(options.source, options.out, torch.device(options.device), options.small)
    if (options.source / REFERENCES).is_file():
        with np.load(options.source / REFERENCES) as found:
            run.references = dict(found)
    sys.exit(not measure(run, options.only, options.minutes))


if __name__ == "__main__":
    main(sys.argv[1:])
