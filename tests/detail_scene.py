"""Photos of a wall with more detail than its surface holds, from photos to the networks' data set and residuals.

The wall is a mesh of large triangles in smooth colors. The photos show it with a fine texture as a factor, and each in
its own light. Photos i and i + 9 are taken from the same place.
"""

import shutil
from pathlib import Path

import numpy as np
from training_scene import make_config, run
from wall import WIDTH, write_scene

from nrw.core import ade20k
from nrw.core.io import write_csv
from nrw.dataset.pack import pack_dataset
from nrw.dataset.split import write_split
from nrw.detail.residuals import measure_residuals
from nrw.detail.training import pack_detail
from nrw.framebuffers.aligned import compose_aligned, index_aligned
from nrw.framebuffers.rasters import rasterize_photos
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud
from nrw.scene.files import SceneFiles

SCALE = 2
DEPTH = 5.0
PHOTOS = 10
BUILDING, PERSON = (ade20k.label_of(name) for name in ("building", "person"))
PEOPLE = slice(40, 60), slice(60, 90)  # pixels of photo 0001
SIDE = 0.25  # of the mesh's squares
VALIDATION = "0008"


def make_scene(root: Path) -> SceneFiles:
    """Write the folder of a scene as the workflow leaves it after `pack_detail`."""
    files = SceneFiles(root)
    cloud = wall()
    ids = write_scene(root, cloud, PHOTOS, photo_of)
    np.save(files.colors, cloud.colors)
    for path in files.framebuffers.glob("*_primitive.npy"):  # of another size
        path.unlink()
    options = {"max_size": WIDTH // SCALE, "scale": SCALE, "splat": 1, "backend": "torch", "device": "cpu"}
    reports = rasterize_photos(files.cloud, files.workspace, files.framebuffers, ids, root / "rasters.json", **options)
    compose_aligned(
        files.cloud, files.framebuffers, files.workspace, files.segmentation, files.colors, None, files.aligned, ids,
        root / "aligned.json", scale=SCALE, max_depth=10.0,
    )  # fmt: skip
    write_csv(files.photos_csv, [{"id": photo_id, "file": ""} for photo_id in ids], ["id", "file"])
    index_aligned(files.aligned, files.framebuffers, files.workspace, files.photos_csv, reports, max_depth=10.0)
    parts = {photo_id: "val" if photo_id == VALIDATION else "train" for photo_id in ids}
    write_split(files.split, [{"id": i, "density": 1.0, "split": part, "reason": ""} for i, part in parts.items()])
    pack_dataset(
        files.aligned, files.framebuffers, files.split, files.dataset,
        levels=2, scale=SCALE, splat=1, transient=["person"], sky=["sky"], colors_npy=files.colors,
    )  # fmt: skip
    run("appearance", files.dataset, root, config())
    shutil.copytree(files.undistorted_photos, files.detailed_photos)
    measure(files)
    pack_detail(files.dataset, files.detail, files.framebuffers, files.training_detail, device="cpu", threads=2)
    return files


def measure(files: SceneFiles, device: str = "cpu") -> None:
    """Measure the residuals of the training photos."""
    ids = [f"{i:04d}" for i in range(PHOTOS) if f"{i:04d}" != VALIDATION]
    measure_residuals(
        files.dataset, files.stage("appearance"), files.cloud, files.colors, None, files.framebuffers, files.workspace,
        files.detailed_photos, files.segmentation, files.detail, ids, files.root / "residuals.json",
        z_dim=config()["network"]["z_dim"], device=device,
    )  # fmt: skip


def config(**training: object) -> dict:
    """The configuration of a scene with detail."""
    made = make_config(appearance={"kimg": 0}, crop_size=32, **training)
    made["perceptual"] = {"weights": "none"}
    made["buffer"] = {**made["buffer"], "view_direction": False, "lighting": 0, "detail": True}
    return made


def wall() -> Cloud:
    """A mesh in the plane z = 5, larger than any photo."""
    x, y = np.meshgrid(np.arange(-4, 4 + SIDE, SIDE), np.arange(-3, 3 + SIDE, SIDE))
    numbers = np.arange(x.size).reshape(x.shape)
    corners = [numbers[:-1, :-1], numbers[:-1, 1:], numbers[1:, :-1], numbers[1:, 1:]]
    a, b, c, d = (corner.ravel() for corner in corners)
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([d, c, b], axis=1)]).astype(np.int32)
    points = np.column_stack([x.ravel(), y.ravel(), np.full(x.size, DEPTH)]).astype(np.float32)
    colors = np.rint(smooth(points[:, 0], points[:, 1])).astype(np.uint8)
    return Cloud(points, colors, np.tile(np.float32([0, 0, -1]), (len(points), 1)), np.zeros(len(points)), faces)


def smooth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The colors of the surface at x, y: (…, 3), 0 to 255."""
    waves = [np.sin(0.8 * x) * np.cos(0.6 * y), np.cos(0.7 * x + 0.5 * y), np.sin(0.6 * x - 0.9 * y)]
    return np.stack([130 + 30 * wave for wave in waves], axis=-1)


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The factor (…) that photos show beyond the surface, 0.75 to 1.25."""
    return 1 + 0.25 * np.sin(9 * x) * np.sin(8 * y)


def light(photo_id: str) -> np.ndarray:
    """(3,): photo 9 is taken in a light unlike that of photo 0, the others in lights between."""
    share = int(photo_id) / (PHOTOS - 1)
    return 1 - share * np.array([0.35, 0.2, 0.05])


def places(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """x and y on the wall of the pixels of a camera that looks along z, each (H, W)."""
    points = camera.center + camera.ray_directions() / camera.ray_directions()[..., 2:] * (DEPTH - camera.center[2])
    return points[..., 0], points[..., 1]


def photo_of(photo_id: str, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A photo, and its labels."""
    x, y = places(camera)
    picture = smooth(x, y) * texture(x, y)[..., None] * light(photo_id)
    labels = np.full(x.shape, BUILDING, np.uint8)
    if photo_id == "0001":
        picture[PEOPLE], labels[PEOPLE] = 250, PERSON
    return picture, labels
