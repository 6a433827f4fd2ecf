from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.framebuffers import write_index

    write_index(
        Path(snakemake.input.composed[0]).parents[1],
        Path(snakemake.input.sparse).parent,
        snakemake.input.table,
        snakemake.output[0],
    )
