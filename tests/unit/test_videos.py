import itertools
import resource
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from nrw.geometry.cameras import Camera
from nrw.videos.shots import best_covered, between, diverse, farthest, joint_shots, short_tour, typical
from nrw.videos.writer import write_video


def moving_square(n, height=48, width=64):
    for i in range(n):
        frame = np.full((height, width, 3), 40, np.uint8)
        frame[10:30, i : i + 20] = (200, 60, 20)
        yield frame


def boxes(file):
    """The names of an MP4 file's top-level boxes, in order."""
    data, names, at = file.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        names.append(data[at + 4 : at + 8].decode())
        at += size
    return names


def test_video_has_every_frame_in_size_and_format_and_plays_while_it_loads(tmp_path):
    file = tmp_path / "clip.mp4"
    write_video(file, moving_square(30), fps=12)
    assert imageio_ffmpeg.count_frames_and_secs(str(file)) == (30, pytest.approx(2.5))
    reader = imageio_ffmpeg.read_frames(str(file))
    meta = next(reader)
    assert (meta["size"], meta["fps"], meta["codec"]) == ((64, 48), 12, "h264")
    assert meta["pix_fmt"].startswith("yuv420p")
    decoded = np.array([np.frombuffer(frame, np.uint8).reshape(48, 64, 3) for frame in reader])
    true = np.array(list(moving_square(30)))
    assert np.abs(decoded.astype(int) - true).mean() < 3
    names = boxes(file)
    assert names.index("moov") < names.index("mdat")


def test_poster_is_the_most_detailed_frame_of_the_middle(tmp_path):
    from nrw.core.io import read_image

    rng = np.random.default_rng(0)
    frames = list(moving_square(40))
    frames[0] = rng.integers(0, 256, frames[0].shape, dtype=np.uint8)  # rich, but at the very start
    frames[21] = frames[20] = frames[19] = np.tile(np.array([[[0], [255]]], np.uint8), (48, 32, 3))
    write_video(tmp_path / "clip.mp4", iter(frames), fps=12)
    assert np.array_equal(read_image(tmp_path / "clip.png"), frames[20])


def test_a_video_whose_frames_break_off_leaves_nothing_behind(tmp_path):
    def broken():
        yield from moving_square(5)
        raise RuntimeError("the renderer fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        write_video(tmp_path / "clip.mp4", broken(), fps=12)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "clip.mp4", iter([]), fps=12)


def test_frames_are_pulled_one_by_one(tmp_path):
    """Frames stream: only the poster's candidates are kept."""
    import weakref

    alive, most = weakref.WeakSet(), 0

    class Frame(np.ndarray):
        __hash__ = object.__hash__

    def frames():
        nonlocal most
        for frame in moving_square(200):
            held = frame.view(Frame)
            alive.add(held)
            most = max(most, len(alive))
            yield held

    write_video(tmp_path / "clip.mp4", frames(), fps=24)
    assert most <= 20


def test_codes_between_begin_rest_and_end_at_the_given_ones():
    codes = [torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.0])]
    path = torch.stack(between(codes, 101))
    assert path.shape == (101, 2)
    assert torch.equal(path[0], codes[0]) and torch.equal(path[50], codes[1]) and torch.equal(path[-1], codes[2])
    assert torch.allclose(path[25], torch.tensor([0.5, 1.0]))
    assert torch.linalg.norm(path[1:] - path[:-1], dim=1).max() < 0.1


def test_typical_is_the_medoid_and_diverse_leaves_out_the_outlier():
    codes = {"a": [0.0, 0], "b": [1, 0], "c": [0, 1], "d": [-1, 0], "e": [0, -1], "lost": [50, 50]}
    codes |= {f"f{i}": [0.1 * i, 0.05] for i in range(5)}
    codes = {name: torch.tensor(code, dtype=torch.float32) for name, code in codes.items()}
    assert typical(codes).abs().max() < 0.5
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


class Views:
    """A set of photos of 64 x 48 pixels: the distance to a square of points, and which pixels show one, by id."""

    def __init__(self, **views):
        self.ids, self.views = list(views), views

    def view(self, photo):
        distance, covered = self.views[photo]
        pose = np.column_stack([np.eye(3), [0.0, 0.0, distance]])
        return SimpleNamespace(camera=Camera(64, 48, 60, 60, 32, 24, pose), depth=[covered.astype(float)])


def test_the_view_that_shows_much_of_the_cloud_without_gaps_is_the_best():
    points = np.random.default_rng(0).uniform((-1, -1, 0), (1, 1, 0.1), (500, 3))
    wall = np.zeros((48, 64), bool)
    wall[12:, 8:56] = True  # beneath sky and between its borders
    broken = np.ones((48, 64), bool)  # more of the picture, with a part that no two photos share
    broken[12:36, 16:52] = False
    small = np.zeros((48, 64), bool)
    small[36:, 24:40] = True
    views = Views(broken=(3.0, broken), whole=(3.0, wall), close=(0.8, np.ones((48, 64), bool)), far=(9.0, small))
    assert best_covered(views, points)[0] == "whole"
    assert best_covered(Views(broken=(3.0, broken), far=(9.0, small)), points)[0] == "broken"
    assert best_covered(Views(nothing=(3.0, wall & False), far=(9.0, small)), points) == ["far", "nothing"]


def test_joint_shots_visit_every_view_with_its_code():
    cameras = [Camera(64, 48, 60, 60, 32, 24, np.column_stack([np.eye(3), [-x, 0.0, 2.0]])) for x in (0.0, 1.0, 3.0)]
    codes = [torch.tensor([x]) for x in (0.0, 1.0, -1.0)]
    shots = joint_shots(cameras, codes, 41, (64, 48))
    assert len(shots) == 41
    for shot, x, z in ((shots[0], 0, 0), (shots[20], 1, 1), (shots[-1], 3, -1)):
        assert shot.camera.center[0] == pytest.approx(x) and float(shot.appearance) == pytest.approx(z)


def test_an_encoder_that_cannot_write_is_noticed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a full disk; Python and its children ignore SIGXFSZ
    try:
        with pytest.raises(OSError):
            write_video(tmp_path / "clip.mp4", (np.roll(noise, i, axis=0) for i in range(40)), 24)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
