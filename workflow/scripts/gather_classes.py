from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.segmentation.labels import gather_classes

    gather_classes(
        Path(snakemake.output[0]).parent,
        snakemake.output[0],
        sorted(path.stem for path in Path(snakemake.input.images).glob("*.jpg")),
        **snakemake.params.settings,
    )
