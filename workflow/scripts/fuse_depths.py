from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.mvs import fuse

    fuse(
        Path(snakemake.input.sparse).parent,
        snakemake.output.cloud,
        snakemake.output.summary,
        voxel_size=snakemake.params.settings["voxel_size"],
        threads=snakemake.threads,
    )
