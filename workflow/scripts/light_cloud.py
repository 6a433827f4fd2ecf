from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.ade20k import labels_of
    from nrw.dataset import read_split
    from nrw.lighting import find_lighting

    find_lighting(
        Path(snakemake.input.cloud),
        Path(snakemake.output[0]).parent,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        [photo for photo, part in read_split(snakemake.input.split).items() if part == "train"],
        Path(snakemake.input.colors),
        Path(snakemake.output[0]),
        channels=snakemake.params.channels,
        excluded_labels=labels_of(snakemake.params.excluded),
        splat=snakemake.params.splat,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
