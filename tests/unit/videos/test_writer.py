import resource

import imageio_ffmpeg
import numpy as np
import pytest

from nrw.core.errors import UserError
from nrw.core.io import read_image
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


@pytest.mark.parametrize("name", ["18:30.mp4", "http:x.mp4", "-y.mp4", "%03d.mp4", "a b'.MP4"])
def test_a_name_is_a_name_whatever_ffmpeg_reads_into_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name, moving_square(5), 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name[:-4]}.png"])
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / name))[0] == 5


def test_ffmpegs_own_words_are_in_the_error(tmp_path, monkeypatch):
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text("#!/bin/sh\nhead -c 5000 >/dev/null\necho 'Error: No space left on device' >&2\nexit 7\n")
    ffmpeg.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(ffmpeg))
    with pytest.raises(UserError, match=r"clip\.mp4: .*exit status 7:\n  Error: No space left on device"):
        write_video(tmp_path / "out" / "clip.mp4", moving_square(40), 12)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_encoder_that_cannot_write_is_noticed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a full disk; Python and its children ignore SIGXFSZ
    try:
        with pytest.raises(UserError, match="ffmpeg could not write the video; SIGXFSZ ended it"):
            write_video(tmp_path / "clip.mp4", (np.roll(noise, i, axis=0) for i in range(40)), 24)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
