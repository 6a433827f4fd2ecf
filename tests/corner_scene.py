"""Rendered photos of known corners of walls, and structure from motion on them as the workflow runs it."""

import sqlite3

import numpy as np
import pycolmap
from PIL import Image

from nrw.core.io import read_json, write_csv
from nrw.sfm.matching import match_pairs, merge_matches
from nrw.sfm.pairs import choose_pairs
from nrw.sfm.reconstruction import reconstruct

MATCH = dict(matcher="exhaustive", retrieval_above=150, retrieval_neighbours=3, threads=2, reproducible=True, seed=1)
RECONSTRUCT = dict(mapper="incremental", hierarchical_above=500, threads=2, reproducible=True, seed=1)
WIDTH, HEIGHT, FOCAL = 320, 240, 304.0


def level_camera(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """(3, 3) cam_from_world of a camera in a world with z up; degrees; at 0, 0, 0 it looks along y."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.cos(yaw), -np.sin(yaw), 0])
    down = np.cross(forward, right)
    return np.stack([np.cos(roll) * right + np.sin(roll) * down, -np.sin(roll) * right + np.cos(roll) * down, forward])


def corner_photo(rotation: np.ndarray, center: np.ndarray, seed: int) -> Image.Image:
    """A photo of two textured walls that meet in the line x = 0, y = 4 (a corner seen from inside)."""
    rng = np.random.default_rng(seed)
    texture = sum(
        np.asarray(
            Image.fromarray(rng.random((n, n)).astype(np.float32)).resize((1024, 1024), Image.Resampling.BICUBIC)
        )
        for n in (64, 128, 256)
    )
    texture = np.round((texture - texture.min()) / np.ptp(texture) * 255)
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
    rays = np.stack([x / FOCAL, y / FOCAL, np.ones_like(x)], axis=-1) @ rotation  # (H, W, 3)
    photo, depth = np.zeros(x.shape), np.full(x.shape, np.inf)
    for side in (-1, 1):
        normal = np.array([side * 0.6, 0.8, 0.0])
        along = np.array([-0.8 * side, 0.6, 0.0])
        distance = (normal @ [0, 4, 0] - normal @ center) / (rays @ normal)
        hit = center + rays * distance[..., None]
        u, v = (hit @ along) * 150 + 512 + 200 * side, hit[..., 2] * 150 + 512
        u, v = np.clip(u, 0, 1022.99), np.clip(v, 0, 1022.99)
        i, j, a, b = v.astype(int), u.astype(int), v % 1, u % 1
        color = (texture[i, j] * (1 - b) + texture[i, j + 1] * b) * (1 - a) + (
            texture[i + 1, j] * (1 - b) + texture[i + 1, j + 1] * b
        ) * a
        nearer = (distance > 0) & (distance < depth)
        photo[nearer], depth[nearer] = color[nearer], distance[nearer]
    return Image.fromarray(photo.astype(np.uint8)).convert("RGB")


def noise_photo(seed: int) -> Image.Image:
    """A photo of blurred gray noise, which no other seed's shares a feature with."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 4, WIDTH // 4)).astype(np.uint8)
    return Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert("RGB")


def viewpoints(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cameras on an arc around the corner, tilted 8° up, all level to within a degree."""
    views = []
    for number, yaw in enumerate(np.linspace(-24, 24, n)):
        rotation = level_camera(yaw, 8, roll=(-1) ** number * 0.7)
        views.append((rotation, np.array([0, 3.4, 0]) - 3.4 * level_camera(yaw, 0)[2] + [0, 0, 0.1 * number]))
    return views


def write_photos(folder, photos: list[Image.Image], focal: dict[int, float]) -> None:
    (folder / "images").mkdir(parents=True)
    rows = [{"id": "", "file": "notes.txt", "verdict": "not a photo", "focal_px": ""}]
    for number, photo in enumerate(photos):
        photo.save(folder / "images" / f"{number:04}.jpg", quality=95)
        rows.append(
            {"id": f"{number:04}", "file": f"p {number}.png", "verdict": "ok", "focal_px": focal.get(number, "")}
        )
    write_csv(folder / "photos.csv", rows, ("id", "file", "verdict", "focal_px"))


def match(features, database, pieces=1, **settings):
    """All of the matching, as the workflow cuts it."""
    folder = database.parent / f"{database.stem} pieces"
    choose_pairs(features, folder / "pairs.txt", **settings)
    results = [folder / f"{number}-of-{pieces}.db" for number in range(1, pieces + 1)]
    for result in results:
        match_pairs(features, folder / "pairs.txt", result.stem, result, seed=1)
    merge_matches(features, results, database, seed=1)


def run_reconstruct(photos, database, out, **settings):
    reconstruct(
        photos / "images",
        photos / "photos.csv",
        database,
        out / "sparse",
        out / "summary.json",
        out / "summary.txt",
        **(RECONSTRUCT | settings),
    )
    return read_json(out / "summary.json"), pycolmap.Reconstruction(out / "sparse")


def content(path):
    """All rows of a database, by table."""
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables}
