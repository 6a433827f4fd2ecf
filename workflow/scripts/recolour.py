from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.ade20k import labels_of
    from nrw.io import read_csv
    from nrw.recolour import recolour

    recolour(
        snakemake.input.cloud,
        Path(snakemake.output[0]).parent,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        [row["id"] for row in read_csv(snakemake.input.split) if row["split"] == "train"],
        snakemake.output[0],
        transient=labels_of(snakemake.params.transient),
    )
