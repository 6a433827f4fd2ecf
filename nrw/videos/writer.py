"""H.264 videos, each with a poster."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from nrw.core.io import atomic_path, write_image

POSTER_CANDIDATES = 16  # frames kept for the poster


def write_video(path: Path | str, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write (H, W, 3) uint8 frames, H and W even, as H.264 (yuv420p, moov box first), and a poster `<stem>.png`.

    Frames stream to the encoder. The poster is the most detailed frame of the middle half of the video, chosen from up
    to 16 evenly spaced ones. Neither file appears unless all frames are written. Raises ValueError where there are no
    frames, and OSError where the encoder did not write all of them.
    """
    path = Path(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"no frames for {path}")
    candidates, stride = [], 1  # every stride-th frame
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (first.shape[1], first.shape[0]),
            fps=fps,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            output_params=["-crf", "18", "-preset", "medium", "-movflags", "+faststart"],
        )
        writer.send(None)
        try:
            for number, frame in enumerate(itertools.chain([first], frames)):
                writer.send(np.ascontiguousarray(frame))
                if number % stride == 0:
                    candidates.append(frame)
                if len(candidates) > POSTER_CANDIDATES:
                    candidates, stride = candidates[::2], 2 * stride
        finally:
            writer.close()
        written = _count_frames(temporary)  # the encoder's exit status is not reported
        if written != number + 1:
            raise OSError(f"{path}: the encoder wrote {written} of {number + 1} frames; is the disk full?")
        quarter = len(candidates) // 4
        write_image(path.with_suffix(".png"), max(candidates[quarter : len(candidates) - quarter], key=_detail))


def _count_frames(path: Path) -> int:
    """Count the frames that can be decoded; 0 where the file cannot be read."""
    try:
        return imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:
        return 0


def _detail(frame: np.ndarray) -> float:
    gray = frame.mean(axis=2)
    return float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())
