import numpy as np
import pytest
from wall import HEIGHT, WIDTH, write_scene

from nrw.framebuffers import observations
from nrw.framebuffers.coloring import color_cloud
from nrw.geometry.pointcloud import Cloud


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder and ids of nine photos of a wall in stripes, each in a light of its own."""
    root = tmp_path_factory.mktemp("stripes")

    def shoot(photo_id, camera):
        x = (camera.center + 4 * camera.ray_directions() / camera.ray_directions()[..., 2:])[..., :1]
        stripes = 128 + (40 + 5 * int(photo_id)) * np.sin(3 * x)
        return np.repeat(stripes, 3, axis=2), np.ones((HEIGHT, WIDTH), np.uint8)

    points = np.insert(np.mgrid[-2:2:0.04, -1.5:1.5:0.04].reshape(2, -1).T, 2, 4, axis=1).astype(np.float32)
    normals = np.tile(np.float32([0, 0, -1]), (len(points), 1))
    return root, write_scene(root, Cloud(points, np.zeros(points.shape, np.uint8), normals), 9, shoot)


def run(scene, lighting=True, threads=1):
    root, ids = scene
    paths = (root / "mvs/cloud.ply", root / "framebuffers", root / "mvs", None, ids)
    colors, light = root / "out/colors.npy", root / "out/lighting.npy"
    options = {"masked": (), "channels": 2, "seed": 1, "threads": threads}
    color_cloud(*paths, colors, light if lighting else None, **options)
    return np.load(colors), np.load(light) if lighting else None


def test_each_photo_is_read_and_sampled_once(scene, monkeypatch):
    read, sampled = [], []
    read_photo, sample = observations.read_photo, observations.sample
    monkeypatch.setattr(observations, "read_photo", lambda path, *a: (read.append(path.stem), read_photo(path, *a))[1])
    monkeypatch.setattr(observations, "sample", lambda seen, *a: (sampled.append(seen), sample(seen, *a))[1])
    run(scene)
    assert sorted(read) == scene[1]
    assert len(sampled) == len(scene[1])


def test_the_threads_do_not_change_the_result_and_nothing_is_left_in_scratch(scene):
    for one, several in zip(run(scene), run(scene, threads=3), strict=True):
        np.testing.assert_array_equal(one, several)
    assert sorted(path.name for path in (scene[0] / "out").iterdir()) == ["colors.npy", "lighting.npy"]


def test_without_lighting_there_are_colors_alone(scene):
    colors, _ = run(scene)
    (scene[0] / "out/lighting.npy").unlink()
    np.testing.assert_array_equal(run(scene, lighting=False)[0], colors)
    assert not (scene[0] / "out/lighting.npy").exists()
