from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import read_json
    from nrw.framebuffers.aligned import write_index

    reports = [photo for chunk in snakemake.input.rasterized for photo in read_json(chunk)]
    write_index(
        Path(snakemake.output[0]).parent,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.table),
        reports,
        max_depth=max(photo["max_depth"] for photo in reports),
    )
