from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.ade20k import labels_of
    from nrw.dataset.split import read_split
    from nrw.framebuffers.lighting import find_lighting
    from nrw.framebuffers.observations import Photos

    out = Path(snakemake.output[0])
    photos = Photos(
        out.parent,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        [photo for photo, part in read_split(snakemake.input.split).items() if part == "train"],
        excluded=labels_of(snakemake.params.excluded),
        splat=snakemake.params.splat,
        threads=snakemake.threads,
    )
    find_lighting(
        photos,
        Path(snakemake.input.cloud),
        Path(snakemake.input.colors),
        out,
        channels=snakemake.params.channels,
        seed=snakemake.params.seed,
    )
