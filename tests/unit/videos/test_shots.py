import itertools

import numpy as np
import pytest
import torch
from tiny_scene import SETTINGS, frames_of

from nrw.core.errors import UserError
from nrw.core.io import read_image
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import mesh_of_quads
from nrw.geometry.rasterize import Geometry
from nrw.scene.files import SceneFiles
from nrw.videos import shots
from nrw.videos.camera_paths import CameraPath, write_path
from nrw.videos.shots import best_covered, between, blended, diverse, farthest, joint_shots, short_tour, typical


@pytest.fixture(scope="module")
def scene(tower):
    return tower


def test_codes_between_begin_rest_and_end_at_the_given_ones():
    codes = [torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])]
    named = dict(zip("abc", codes, strict=True))
    path = torch.stack([blended(shares, named.__getitem__) for shares in between(list("abc"), 101)])
    assert path.shape == (101, 2)
    assert torch.equal(path[0], codes[0]) and torch.equal(path[50], codes[1]) and torch.equal(path[-1], codes[2])
    assert torch.allclose(path[25], torch.tensor([0.5, 1.0]))
    assert torch.linalg.norm(path[1:] - path[:-1], dim=1).max() < 0.1


def test_typical_is_the_medoid_and_diverse_leaves_out_the_outlier():
    codes = {"a": [0.0, 0], "b": [1, 0], "c": [0, 1], "d": [-1, 0], "e": [0, -1], "lost": [50, 50]}
    codes |= {f"f{i}": [0.1 * i, 0.05] for i in range(5)}
    codes = {name: torch.tensor(code, dtype=torch.float32) for name, code in codes.items()}
    assert codes[typical(codes)].abs().max() < 0.5
    chosen = diverse(codes, 5)
    assert set("bcde") < set(chosen)


def test_farthest_point_sampling_spreads():
    line = np.arange(11, dtype=float)[:, None]
    assert farthest(line, 3) in ([5, 0, 10], [5, 10, 0])
    assert sorted(farthest(line, 99)) == list(range(11))


def test_short_tour_is_the_shortest_on_a_small_case():
    rng = np.random.default_rng(0)
    places = {f"{i}": rng.normal(size=2) for i in range(6)}

    def length(order, closed):
        legs = itertools.pairwise([*order, order[0]] if closed else order)
        return sum(np.linalg.norm(places[a] - places[b]) for a, b in legs)

    for closed in (True, False):
        tour = short_tour(list(places), places, closed=closed)
        best = min(length(order, closed) for order in itertools.permutations(places))
        assert sorted(tour) == sorted(places)
        assert length(tour, closed) <= 1.05 * best


def test_the_view_that_shows_much_of_the_scene_without_gaps_is_the_best():
    """A wall with a window: seen as a whole, around the window, from near, from afar, and not at all."""
    wall = [(x, y) for x in range(8) for y in range(3) if (x, y) != (6, 1)]
    corners = np.array([[x + dx, y + dy, 0.0] for x, y in wall for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))])
    quads = np.arange(len(corners)).reshape(-1, 4)
    geometry = Geometry.of(mesh_of_quads(corners, quads, np.tile([0.0, 0, -1], (len(corners), 1))))

    def camera(x, distance):
        return Camera(128, 64, 64, 64, 64, 32, np.column_stack([np.eye(3), [-x, -1.5, distance]]))

    views = {"whole": camera(3, 3.0), "window": camera(6, 3.0), "close": camera(3, 0.5), "far": camera(3, 20.0)}
    scores = best_covered({**views, "nothing": camera(99, 3.0)}, geometry)
    assert next(iter(scores)) == "whole" and list(scores)[-1] == "nothing" and scores["nothing"] == 0
    assert scores["whole"] > 1.3 * scores["window"] and scores["whole"] > 1.5 * scores["close"]
    assert all(0 <= score <= 1 for score in scores.values())


def test_joint_shots_visit_every_view_with_its_code():
    cameras = [Camera(64, 48, 60, 60, 32, 24, np.column_stack([np.eye(3), [-x, 0.0, 2.0]])) for x in (0.0, 1.0, 3.0)]
    codes = {name: torch.tensor([x]) for name, x in (("a", 0.0), ("b", 1.0), ("c", -1.0))}
    planned = joint_shots(cameras, list("abc"), codes, 41, (64, 48))
    assert len(planned) == 41
    for shot, x, z in ((planned[0], 0, 0), (planned[20], 1, 1), (planned[-1], 3, -1)):
        assert shot.camera.center[0] == pytest.approx(x) and float(shot.appearance) == pytest.approx(z)
    assert planned[0].photos == {"a": 1.0} and planned[20].photos["b"] == pytest.approx(1)


def test_the_three_videos_and_one_more_are_made(scene, tmp_path):
    views, dataset = SceneFiles(scene).open_views("cpu")
    write_path(tmp_path / "dusk.json", CameraPath(4, [dataset.view("0000").camera] * 2, [{"0001": 1.0}] * 2))
    settings = {**SETTINGS, "extra": {"dusk": {"path": str(tmp_path / "dusk.json")}}}
    for kind, frames, size in (
        ("flythrough", 8, (64, 32)), ("appearance", 8, (64, 48)), ("joint", 8, (64, 32)), ("dusk", 2, (64, 48)),
    ):  # fmt: skip
        shots.film(kind, views.model, dataset, views, settings, tmp_path / f"{kind}.mp4")
        assert frames_of(tmp_path / f"{kind}.mp4") == (frames, size)
        assert read_image(tmp_path / f"{kind}.png").shape == (size[1], size[0], 3)
    with pytest.raises(UserError, match="neither one of"):
        shots.film("dawn", views.model, dataset, views, settings, tmp_path / "dawn.mp4")


def test_the_appearance_video_ends_where_it_began(scene):
    views, dataset = SceneFiles(scene).open_views("cpu")
    loop = shots.appearance(views.model, dataset, views.geometry, SETTINGS)
    assert len({id(shot.camera) for shot in loop}) == 1
    assert torch.equal(loop[0].appearance, loop[-1].appearance)
    assert not torch.equal(loop[0].appearance, loop[len(loop) // 2].appearance)
