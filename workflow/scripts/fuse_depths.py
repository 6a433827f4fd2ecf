from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.ade20k import labels_of
    from nrw.mvs.fuse import fuse_depths

    fuse_depths(
        Path(snakemake.input.sparse).parent,
        snakemake.output.cloud,
        snakemake.output.surface or None,
        snakemake.output.summary,
        **snakemake.params.settings,
        threads=snakemake.threads,
        segmentation_dir=Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        masked=labels_of(snakemake.params.masked),
        sky=labels_of(snakemake.params.sky),
        ground=labels_of(snakemake.params.ground),
    )
