"""Make the demo: photos of a rendered landmark, and the truth about them.

Needs Blender as a module, which is not a dependency of the project:

    python -m venv bpyenv && bpyenv/bin/pip install "bpy==4.5.*" pillow
    bpyenv/bin/python resources/demo/make_demo.py photos --cache renders

Steps: `photos` (photos/, truth/cameras.json, depth/, labels/), then `clean`, `appearances` and `flythrough` (more of
truth/), `training` (pictures and labels of other scenes for train_segmenter.py, kept in the cache). Every rendering is
kept in the cache, so an interrupted run goes on where it stopped. The same seed makes the same pictures. See README.md.
"""

import argparse
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
from generator import landmark, lighting, planning, rendering
from generator.labels import SKY
from generator.mesh import Builder, box, lathe
from generator.photography import Development, Lens, develop, jpeg, meter
from PIL import Image

HERE = Path(__file__).resolve().parent
DEPTH_UNITS = 200  # of the 16-bit depth maps, in a metre
SAMPLES = {"noon": 7, "overcast": 7, "golden": 7, "dusk": 8, "night": 9}
CLEAN = (0, 5, 10, 15, 20, 25, 31, 35, 40, 45, 50, 55)  # shots; not 30, where a van hides a floodlight
CAMERAS = [("marta", "DSC", "Nikon D3300"), ("marta", "IMG", "Fairphone 4"), ("group/day2", "P", "Panasonic DMC-GX80"),
           ("group", "IMG", "Apple iPhone")]  # fmt: skip


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.rename(path)


def save_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part.png")
    Image.fromarray(pixels).save(part, optimize=True)
    part.rename(path)


class Studio:
    """The standing scene, and renderings of shots kept in a cache."""

    def __init__(self, seed: int, threads: int, texture_scale: float = 1.0):
        rendering.reset(threads)
        self.seed = seed
        self.builder: Builder = landmark.build(np.random.default_rng(seed), texture_scale)
        self.lighting = lighting.Lighting(self.builder.materials)

    def render(self, cache: Path, shot: planning.Shot, crowd_seed, samples: int, depth: bool = True) -> dict:
        """radiance (wide, linear, float16), labels, depth (half size), counts of transients; from the cache if there.

        crowd_seed: None for an empty square.
        """
        if not cache.exists():
            start = time.time()
            lens = shot.lens
            self.lighting.apply(shot.light, shot.cloud_seed)
            count = planning.crowd(self.builder, shot, crowd_seed) if crowd_seed is not None else {}
            self.builder.build("crowd")
            rendering.aim(shot.rotation, shot.translation, lens.focal, *lens.wide_size())
            result = {"radiance": rendering.radiance(samples).astype(np.float16), "count": np.array(json.dumps(count))}
            if depth:
                rendering.aim(shot.rotation, shot.translation, lens.focal, lens.width, lens.height)
                result["labels"] = rendering.geometry()[1]
                rendering.aim(shot.rotation, shot.translation, lens.focal / 2, lens.width // 2, lens.height // 2)
                result["depth"] = rendering.geometry()[0]
            planning.clear()
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.savez(cache.with_suffix(".part.npz"), **result)
            cache.with_suffix(".part.npz").rename(cache)
            print(f"SHOT {cache.stem}: {time.time() - start:.1f} s", flush=True)
        with np.load(cache) as stored:
            return {key: stored[key] for key in stored}


def development(radiance, labels, shot, rng) -> Development:
    target = shot.light.target * 2 ** rng.normal(0, 0.22)
    warm, tint = rng.normal(0, 0.07), rng.normal(0, 0.02)
    # Cameras take out most, not all, of the colour of the light.
    mean = radiance[labels != SKY].mean(0)
    cast = (mean.mean() / np.maximum(mean, 1e-6)) ** 0.35
    balance = cast * np.exp([warm, tint, -warm])
    noise = {"dusk": 2.2, "night": 3.2}.get(shot.kind, 1.2) * rng.uniform(0.6, 1.4)
    return Development(meter(radiance, labels, target), tuple(balance / balance[1]), rng.uniform(0.05, 0.45), noise)


def camera_json(shot: planning.Shot) -> dict:
    lens = shot.lens
    return {
        "width": lens.width,
        "height": lens.height,
        "K": [[lens.focal, 0, lens.width / 2], [0, lens.focal, lens.height / 2], [0, 0, 1]],
        "k1": lens.k1,
        "R": shot.rotation.tolist(),
        "t": shot.translation.tolist(),
    }


def photos(studio: Studio, cache: Path, count: int) -> None:
    """Render and write the photos, the bad files and their truth."""
    truth, taken = {}, {}
    for i, shot in enumerate(planning.shots(studio.seed, count)):
        rng = np.random.default_rng([studio.seed, 2, i])
        views = studio.render(cache / f"photo{i:03d}.npz", shot, [studio.seed, 3, i], SAMPLES[shot.kind])
        radiance, labels = views["radiance"].astype(np.float32), views["labels"]
        how = development(shot.lens.crop(radiance), labels, shot, rng)
        pixels = develop(shot.lens.distort(radiance), how, rng)
        folder, prefix, model = CAMERAS[rng.integers(len(CAMERAS))]
        stem = f"{prefix}_{1000 + 37 * i + int(rng.integers(30))}"
        equivalent = round(shot.lens.focal * 36 / max(shot.lens.width, shot.lens.height))
        exif = equivalent if rng.random() < 0.35 else None
        orientation = int(rng.choice([3, 6, 8])) if i % 9 == 4 else 1
        when = datetime(2019, 6, 16, 12) + timedelta(minutes=int(rng.integers(5000)))
        name = f"{folder}/{stem}.jpg"
        taken[name] = jpeg(pixels, exif, orientation, when, model)
        save(HERE / "photos" / name, taken[name])
        save_png(HERE / "truth" / "labels" / f"{stem}.png", labels)
        units = np.clip(np.round(views["depth"] * DEPTH_UNITS), 0, 65535).astype(np.uint16)
        save_png(HERE / "truth" / "depth" / f"{stem}.png", units)
        truth[name] = {
            "shot": i,
            **camera_json(shot),
            "appearance": {"kind": shot.kind, **shot.light.__dict__, "cloud_seed": shot.cloud_seed},
            "transients": json.loads(str(views["count"])),
            "selfie": shot.selfie,
            "development": how.__dict__,
            "exif_focal_35mm": exif,
            "exif_orientation": orientation,
            "depth": f"depth/{stem}.png",
            "labels": f"labels/{stem}.png",
        }
    bad = bad_files(taken, cache)
    document = {
        "units": "metres",
        "depth_units_per_metre": DEPTH_UNITS,
        "photos": dict(sorted(truth.items())),
        "bad": bad,
    }
    save(HERE / "truth" / "cameras.json", (json.dumps(document, indent=1) + "\n").encode())


def bad_files(taken: dict[str, bytes], cache: Path) -> dict[str, str]:
    """Write the files that a real folder has too; returns what is wrong with each."""
    names = sorted(taken)
    first, second, third = (names[len(names) * k // 4] for k in (1, 2, 3))
    cut = str(Path(first).with_name("IMG_0991.jpg"))
    copy = str(Path(second).with_stem(Path(second).stem + " (1)"))
    small = str(Path(third).with_name("thumb_" + Path(third).name))
    save(HERE / "photos" / cut, taken[first][: len(taken[first]) * 2 // 5])
    save(HERE / "photos" / copy, taken[second])
    with Image.open(HERE / "photos" / third) as image:
        image.thumbnail((150, 150))
        save(HERE / "photos" / small, jpeg(np.asarray(image), None, 1, datetime.min, ""))
    save(HERE / "photos" / "group" / "IMG_0007.jpg", jpeg(breakfast(cache), None, 1, datetime.min, ""))
    return {cut: "truncated", copy: f"duplicate of {second}", small: "thumbnail", "group/IMG_0007.jpg": "unrelated"}


def breakfast(cache: Path) -> np.ndarray:
    """(480, 640, 3) uint8: a table indoors, which no photo of the square shares anything with."""
    path = cache / "breakfast.npz"
    if not path.exists():
        rendering.reset(2)
        rng = np.random.default_rng(7)
        builder = Builder(landmark.materials.make(rng, 0.1, landmark.SQUARE), rng)
        builder.add(box([-3, 2, -1], [3, 2.1, 3]), "cream", 1)
        builder.add(box([-1.2, -0.8, -0.05], [1.2, 0.8, 0]), "painted", 16, (0.25, 0.12, 0.05))
        for x, y, r, color in ((-0.3, 0, 0.05, (0.7, 0.1, 0.05)), (0.35, 0.2, 0.06, (0.1, 0.2, 0.5))):
            cup = [(r * 0.8, 0), (r, 0.1), (r * 0.92, 0.1), (r * 0.75, 0.02), (0.001, 0.02)]
            builder.add(lathe(cup, 32, (x, y, 0.012)), "paint", 143, color)
            builder.add(
                lathe([(0.06, 0), (0.12, 0.015), (0.115, 0.018), (0.001, 0.006)], 40, (x, y, 0)),
                "paint",
                143,
                (0.7,) * 3,
            )
        builder.add(
            lathe([(0.001, 0.02), (0.08, 0.01), (0.09, 0.04), (0.05, 0.08), (0.001, 0.085)], 20, (0.05, -0.3, 0)),
            "painted",
            121,
            (0.5, 0.3, 0.1),
        )
        builder.build("table")
        rooms = lighting.Lighting(builder.materials)
        rooms.apply(lighting.light("golden", -40), 3)
        rendering.aim(*rendering.look((0.1, -0.9, 0.55), (0.05, 0.1, 0)), 560, 640, 480)
        np.savez(path, radiance=rendering.radiance(8))
    radiance = np.load(path)["radiance"]
    exposure = 0.16 / np.exp(np.log(radiance.mean(-1) + 1e-6).mean())
    return develop(radiance, Development(exposure, (0.9, 1, 1.2), 0.3, 1.5), np.random.default_rng(8))


def pinhole(shot: planning.Shot, light=None, longest: int | None = None) -> planning.Shot:
    """The same view without lens distortion, in another light, at another size."""
    lens = shot.lens
    scale = (longest or max(lens.width, lens.height)) / max(lens.width, lens.height)
    width, height = (2 * round(side * scale / 2) for side in (lens.width, lens.height))
    return replace(shot, lens=Lens(width, height, lens.focal * width / lens.width, 0.0), light=light or shot.light)


def write_views(name: str, views: dict) -> None:
    save(HERE / "truth" / f"{name}.json", (json.dumps(views, indent=1) + "\n").encode())


def clean(studio: Studio, cache: Path, count: int) -> None:
    """The views of twelve photos without people and vehicles, in the same light, exposure and white balance."""
    truth = json.loads((HERE / "truth" / "cameras.json").read_text())["photos"]
    names = {photo["shot"]: name for name, photo in truth.items()}
    views = {}
    for i, shot in enumerate(planning.shots(studio.seed, count)):
        if i not in CLEAN:
            continue
        how = Development(**truth[names[i]]["development"])
        radiance = studio.render(cache / f"clean{i:03d}.npz", shot, None, SAMPLES[shot.kind] + 2, depth=False)[
            "radiance"
        ]
        stem = Path(names[i]).stem
        pixels = develop(shot.lens.crop(radiance.astype(np.float32)), how)
        save(HERE / "truth" / "clean" / f"{stem}.jpg", jpeg(pixels, None, 1, datetime.min, "", quality=92))
        views[names[i]] = f"clean/{stem}.jpg"
    write_views("clean", views)


def appearances(studio: Studio, cache: Path, count: int) -> None:
    """Six empty views, each in nine lights from noon over the golden hour and dusk to night."""
    sequence = evening()
    chosen = list(planning.shots(studio.seed + 1, 6, variety=6))
    views = []
    for v, shot in enumerate(chosen):
        frames = []
        view, labels = pinhole(shot, longest=512), None
        for k, light in enumerate(sequence):
            now = replace(view, light=light, cloud_seed=77)
            stored = studio.render(cache / f"light{v}_{k}.npz", now, None, 6, depth=k == 0)
            labels = stored.get("labels", labels)  # rendered once: they do not depend on the light
            save(HERE / "truth" / "appearances" / f"view{v}_{k}.jpg", still(now, stored["radiance"], labels))
            frames.append({"file": f"appearances/view{v}_{k}.jpg", "appearance": light.__dict__})
        views.append({**camera_json(view), "frames": frames})
    write_views("appearances", {"views": views})


def evening() -> list[lighting.Light]:
    """Nine lights, evenly spaced, through noon (0), golden hour (3), dusk (6) and night (8); the sun goes left."""
    keys = [(0, lighting.light("noon", 25)), (3, lighting.light("golden", -50)), (6, lighting.light("dusk", -75)),
            (8, lighting.light("night", -75))]  # fmt: skip
    lights = []
    for k in range(9):
        (i, before), (j, after) = next((a, b) for a, b in pairwise(keys) if a[0] <= k <= b[0])
        lights.append(lighting.between(before, after, (k - i) / (j - i)))
    return lights


def still(shot: planning.Shot, radiance: np.ndarray, labels: np.ndarray, exposure: float | None = None) -> bytes:
    """A JPEG of the truth: neutral white balance, no noise, exposure metered unless given."""
    picture = shot.lens.crop(radiance.astype(np.float32))
    how = Development(exposure or meter(picture, labels, shot.light.target), (1, 1, 1), 0.0, 0.0)
    return jpeg(develop(picture, how), None, 1, datetime.min, "", quality=90)


def flythrough(studio: Studio, cache: Path, count: int) -> None:
    """48 frames along an arc over the square in two lights, with depth (half size) for each frame."""
    t = np.linspace(0, 1, 48)
    angle = np.radians(-48 + 96 * t)
    reach, height = 42 - 14 * np.sin(np.pi * t), 2.2 + 5.5 * np.sin(np.pi * t)
    lights = {"noon": lighting.light("noon", 30), "dusk": lighting.light("dusk", -60)}
    frames, exposures = [], {}
    for k in range(48):
        position = (reach[k] * np.sin(angle[k]), -2 - reach[k] * np.cos(angle[k]), height[k])
        rotation, translation = rendering.look(position, (-2, 0, 11.5))
        files, labels = {}, None
        for name, light in lights.items():
            shot = planning.Shot(Lens(448, 280, 350.0, 0.0), rotation, translation, name, light, 77)
            stored = studio.render(cache / f"fly_{name}{k:02d}.npz", shot, None, SAMPLES[name], depth=name == "noon")
            labels = stored.get("labels", labels)
            if name not in exposures:
                exposures[name] = meter(shot.lens.crop(stored["radiance"].astype(np.float32)), labels, light.target)
            files[name] = f"flythrough/{name}_{k:02d}.jpg"
            save(HERE / "truth" / files[name], still(shot, stored["radiance"], labels, exposures[name]))
            if name == "noon":
                units = np.clip(np.round(stored["depth"] * DEPTH_UNITS), 0, 65535).astype(np.uint16)
                save_png(HERE / "truth" / "flythrough" / f"depth_{k:02d}.png", units)
        frames.append({**camera_json(shot), "files": files, "depth": f"flythrough/depth_{k:02d}.png"})
    described = {name: light.__dict__ for name, light in lights.items()}
    write_views("flythrough", {"fps": 12, "appearances": described, "frames": frames})


def training(studio: Studio, cache: Path, count: int) -> None:
    """Small pictures and labels for train_segmenter.py; run it with seeds other than the demo's."""
    folder = cache / "segmenter"
    for i, shot in enumerate(planning.shots(studio.seed, count)):
        name = f"{studio.seed}_{i:03d}"
        if (folder / f"{name}.jpg").exists():
            continue
        small = pinhole(shot, longest=320)
        views = studio.render(cache / f"train{name}.npz", small, [studio.seed, 3, i], 3)
        rng = np.random.default_rng([studio.seed, 2, i])
        picture = small.lens.crop(views["radiance"].astype(np.float32))
        pixels = develop(picture, development(picture, views["labels"], small, rng), rng)
        save_png(folder / f"{name}_labels.png", views["labels"])
        save(folder / f"{name}.jpg", jpeg(pixels, None, 1, datetime.min, "", quality=92))


def main() -> None:
    steps = {step.__name__: step for step in (photos, clean, appearances, flythrough, training)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--cache", type=Path, required=True, help="folder for renderings")
    parser.add_argument("--seed", type=int, default=2019, help="of the scene and the shots; training takes others")
    parser.add_argument("--count", type=int, default=60, help="photos, or training pictures")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    scale = 0.5 if arguments.step == "training" else 1.0
    studio = Studio(arguments.seed, arguments.threads, scale)
    steps[arguments.step](studio, arguments.cache, arguments.count)


if __name__ == "__main__":
    main()
