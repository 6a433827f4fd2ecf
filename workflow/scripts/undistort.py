from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.mvs.undistort import undistort

    undistort(
        snakemake.input.images,
        snakemake.input.sparse,
        Path(snakemake.output.images).parent,
        **snakemake.params.settings,
    )
