"""The committed demo photos and their ground truth fit together."""

from collections import Counter

import numpy as np
import pytest
from demo_truth import DEMO, PHOTOS, TRUTH
from PIL import Image, ImageOps

from nrw.core.ade20k import N_LABELS, label_of
from nrw.core.io import read_image, read_json
from nrw.geometry.cameras import Camera


def camera(entry: dict) -> Camera:
    """The ideal camera of a photo or view, without its distortion."""
    (fx, _, cx), (_, fy, cy), _ = entry["K"]
    pose = np.column_stack([entry["R"], entry["t"]])
    return Camera(entry["width"], entry["height"], fx, fy, cx, cy, pose)


def depth(entry: dict) -> np.ndarray:
    return read_image(DEMO / "truth" / entry["depth"]) / TRUTH["depth_units_per_metre"]


def test_every_file_is_named_once():
    files = {path.relative_to(DEMO / "photos").as_posix() for path in (DEMO / "photos").rglob("*") if path.is_file()}
    assert files == set(PHOTOS) | set(TRUTH["bad"])
    assert not set(PHOTOS) & set(TRUTH["bad"])
    assert len(PHOTOS) >= 40


def test_everything_is_under_30_mb():
    files = [path for folder in ("photos", "truth") for path in (DEMO / folder).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30e6


@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_sizes_and_metadata_agree(name):
    entry = PHOTOS[name]
    size = (entry["width"], entry["height"])
    with Image.open(DEMO / "photos" / name) as photo:
        exif = photo.getexif()
        assert exif.get(0x0112, 1) == entry["exif_orientation"]
        assert exif.get_ifd(0x8769).get(0xA405) == entry["exif_focal_35mm"]
        assert ImageOps.exif_transpose(photo).size == size
    if entry["exif_focal_35mm"]:
        assert entry["K"][0][0] * 36 / max(size) == pytest.approx(entry["exif_focal_35mm"], abs=0.5)
    labels = read_image(DEMO / "truth" / entry["labels"])
    assert labels.dtype == np.uint8 and labels.shape == size[::-1]
    assert labels.min() >= 1 and labels.max() <= N_LABELS
    distance = depth(entry)
    assert distance.shape == (size[1] // 2, size[0] // 2)
    # The two maps were rendered on different grids, so they may differ along outlines only.
    sky = labels[::2, ::2][: distance.shape[0], : distance.shape[1]] == label_of("sky")
    assert np.mean(sky == (distance == 0)) > 0.97


@pytest.mark.parametrize("name", sorted(PHOTOS))
def test_rotations_are_rotations(name):
    rotation = camera(PHOTOS[name]).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)


def lift(entry: dict) -> np.ndarray:
    """(N, 3) world points of every ninth pixel of the photo's depth that is neither sky nor passing by."""
    distance = depth(entry)
    view = camera(entry).resized(*distance.shape[::-1])
    rows, columns = (axis[4::9, 4::9].ravel() for axis in np.indices(distance.shape))
    labels = read_image(DEMO / "truth" / entry["labels"])[2 * rows, 2 * columns]
    stays = (distance[rows, columns] > 0) & ~np.isin(labels, [label_of(name) for name in ("person", "car", "van")])
    rows, columns = rows[stays], columns[stays]
    rays = view.ray_directions()[rows, columns]
    return view.center + rays * (distance[rows, columns] / (rays @ view.rotation[2]))[:, None]


def test_depths_agree_between_cameras():
    """A point lifted from one photo lies on what another sees there, or is hidden behind it; never in front of it."""
    names = sorted(PHOTOS)
    agreeing = floating = seen = 0
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        target = depth(PHOTOS[other])
        size = target.shape[::-1]
        pixels, z = camera(PHOTOS[other]).resized(*size).project(lift(PHOTOS[name]))
        inside = (z > 0) & (pixels >= 1).all(1) & (pixels < np.array(size) - 1).all(1)
        u, v = pixels[inside].astype(int).T
        around = np.stack([target[v + dv, u + du] for dv in (-1, 0, 1) for du in (-1, 0, 1)])
        around = np.where(around > 0, around, np.inf)
        agreeing += np.sum((np.abs(around / z[inside] - 1) < 0.01).any(0))
        floating += np.sum((around / z[inside] > 1.01).all(0))
        seen += inside.sum()
    assert seen > 10000
    assert agreeing / seen > 0.6
    assert floating / seen < 0.005


def test_bad_files_are_bad():
    for name, fault in TRUTH["bad"].items():
        path = DEMO / "photos" / name
        if fault == "truncated":
            with pytest.raises(OSError), Image.open(path) as image:
                image.load()
        elif fault == "thumbnail":
            with Image.open(path) as image:
                assert max(image.size) == 150
        elif fault.startswith("duplicate of "):
            assert path.read_bytes() == (DEMO / "photos" / fault.removeprefix("duplicate of ")).read_bytes()
        else:
            assert fault == "unrelated"


def test_light_and_crowds_vary():
    kinds = Counter(entry["appearance"]["kind"] for entry in PHOTOS.values())
    assert all(kinds[kind] >= 3 for kind in ("noon", "overcast", "golden", "dusk", "night"))
    assert np.mean([entry["transients"]["people"] > 0 for entry in PHOTOS.values()]) > 0.6


def views(part: str) -> list[dict]:
    document = read_json(DEMO / "truth" / f"{part}.json")
    return document["views"] if part == "appearances" else document["frames"]


def undistorted(name: str) -> np.ndarray:
    """(H, W) grey values of a photo on its ideal camera's pixels, as the README's formula says; -1 outside."""
    entry = PHOTOS[name]
    with Image.open(DEMO / "photos" / name) as photo:
        grey = np.asarray(ImageOps.exif_transpose(photo).convert("L"), int)
    v, u = np.indices(grey.shape) + 0.5
    (focal, _, cx), (_, _, cy), _ = entry["K"]
    x, y = (u - cx) / focal, (v - cy) / focal
    stretch = focal * (1 + entry["k1"] * (x**2 + y**2))
    column, row = np.floor(x * stretch + cx).astype(int), np.floor(y * stretch + cy).astype(int)
    inside = (row >= 0) & (row < grey.shape[0]) & (column >= 0) & (column < grey.shape[1])
    return np.where(inside, grey[np.where(inside, row, 0), np.where(inside, column, 0)], -1)


def test_clean_views_are_the_photos_without_people():
    clean = read_json(DEMO / "truth" / "clean.json")
    assert len(clean) == 12
    peopled = 0
    for name, file in clean.items():
        photo = undistorted(name)
        with Image.open(DEMO / "truth" / file) as picture:
            difference = np.abs(photo - np.asarray(picture.convert("L"), int))
        labels = read_image(DEMO / "truth" / PHOTOS[name]["labels"])
        passing = np.isin(labels, [label_of(name) for name in ("person", "car", "van")])
        assert np.median(difference[~passing & (photo >= 0)]) < 6
        if passing.mean() > 0.005:
            peopled += 1
            assert np.median(difference[passing]) > 2 * np.median(difference[~passing])
    assert peopled >= 6


def test_light_sequences_go_from_noon_to_night():
    sequences = views("appearances")
    assert len(sequences) == 6
    for entry in sequences:
        assert len(entry["frames"]) == 9
        skies = []
        for frame in entry["frames"]:
            with Image.open(DEMO / "truth" / frame["file"]) as picture:
                assert picture.size == (entry["width"], entry["height"])
                skies.append(np.asarray(picture.convert("L"))[: entry["height"] // 4].mean())
        assert skies[0] > skies[-1] + 20
        assert [frame["appearance"] for frame in entry["frames"]] == [
            frame["appearance"] for frame in sequences[0]["frames"]
        ]


def test_the_flythrough_is_smooth_and_has_two_lights():
    frames = views("flythrough")
    assert len(frames) == 48
    centers = np.array([camera(entry).center for entry in frames])
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    assert steps.max() < 3 and steps.max() < 2 * steps.min()
    for entry in frames:
        assert len(entry["files"]) == 2
        for file in entry["files"].values():
            with Image.open(DEMO / "truth" / file) as picture:
                assert picture.size == (entry["width"], entry["height"])
        assert depth(entry).shape == (entry["height"] // 2, entry["width"] // 2)
