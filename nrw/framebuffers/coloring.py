"""Colors and lighting of the cloud's points, from the training photos."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from nrw.core.io import scratch_folder
from nrw.framebuffers.lighting import light_cloud
from nrw.framebuffers.observations import sample_photos
from nrw.framebuffers.recolor import recolor


def color_cloud(
    cloud_ply: Path,
    framebuffers_dir: Path,
    mvs_dir: Path,
    segmentation_dir: Path | None,
    ids: Sequence[str],
    colors_npy: Path,
    lighting_npy: Path | None,
    *,
    masked: Iterable[int],
    channels: int,
    seed: int,
    threads: int,
) -> None:
    """Write the points' colors (`recolor`) and, where `lighting_npy` names a file, their lighting (`lighting`).

    ids: the training photos. masked: ADE20K labels whose pixels show nothing of the cloud: transient objects, sky.
    channels: numbers of the lighting per point. The photos are sampled once, into scratch files beside colors_npy: 16
    bytes per point and photo that sees it. threads: photos sampled, and chunks of points lit, at a time.

    Raises UserError if no training photo shows enough of the cloud.
    """
    with scratch_folder(colors_npy.parent / ".samples") as scratch:
        observations = sample_photos(
            *(cloud_ply, framebuffers_dir, mvs_dir, segmentation_dir, ids, scratch),
            masked=masked,
            threads=threads,
        )
        recolor(observations, cloud_ply, colors_npy)
        if lighting_npy is not None:
            light_cloud(
                *(observations, cloud_ply, colors_npy, lighting_npy), channels=channels, seed=seed, threads=threads
            )
