"""H.264 videos, each with a poster."""

import itertools
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np

from nrw.core.errors import UserError
from nrw.core.io import atomic_path, write_image

POSTER_CANDIDATES = 16  # frames kept for the poster
SHOWN = 5  # last lines of what ffmpeg said


def write_video(path: Path | str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write (H, W, 3) uint8 frames, H and W even, as H.264 (yuv420p, moov box first), and a poster `<stem>.png`.

    Frames stream to the encoder. The poster is the most detailed frame of the middle half of the video, chosen from up
    to 16 evenly spaced ones. Neither file appears unless all frames are written. Raises ValueError where there are no
    frames, and UserError, in ffmpeg's words, where the encoder could not write them.
    """
    path = Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames for {path}")
    candidates, stride = [], 1  # every stride-th frame
    with atomic_path(path) as temporary:
        with _encoder(path, temporary, (first.shape[1], first.shape[0]), fps) as encoder:
            for number, frame in enumerate(itertools.chain([first], frames)):
                try:
                    encoder.write(np.ascontiguousarray(frame).data)
                except BrokenPipeError:  # ffmpeg has ended, and says why
                    break
                if number % stride == 0:
                    candidates.append(frame)
                if len(candidates) > POSTER_CANDIDATES:
                    candidates, stride = candidates[::2], 2 * stride
        quarter = len(candidates) // 4
        write_image(path.with_suffix(".png"), max(candidates[quarter : len(candidates) - quarter], key=_detail))


@contextmanager
def _encoder(path: Path, temporary: Path, size: tuple[int, int], fps: float) -> Iterator[IO[bytes]]:
    """Run ffmpeg, and yield the pipe that takes the frames; they are encoded when the block ends.

    path: the name of the video in messages. size: (width, height). Raises UserError where ffmpeg fails.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "warning"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}"]
    command += ["-r", str(Fraction(fps).limit_denominator()), "-i", "-", "-codec:v", "libx264", "-pix_fmt", "yuv420p"]
    command += ["-crf", "18", "-preset", "medium", "-movflags", "+faststart"]
    command.append(str(temporary.absolute()))  # ffmpeg takes what precedes a colon in a relative name for a protocol
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        assert process.stdin is not None
        try:
            yield process.stdin
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):  # where ffmpeg has ended already, its status tells why
                process.stdin.close()
            status = process.wait()
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()[-SHOWN:]
    if status:
        ended = f"it ended with exit status {status}" if status > 0 else f"{signal.Signals(-status).name} ended it"
        raise UserError(
            "\n  ".join([f"{path}: ffmpeg could not write the video; {ended}:", *(lines or ["no message"])])
        )


def _detail(frame: np.ndarray) -> float:
    gray = frame.mean(axis=2)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())
