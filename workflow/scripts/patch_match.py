from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.ade20k import labels_of
    from nrw.core.io import write_json
    from nrw.geometry.cameras import read_cameras
    from nrw.jobs.gpus import take
    from nrw.mvs.colmap import patch_match

    take(snakemake.resources.gpu, snakemake.config["device"])
    patch_match(
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        masked=labels_of(snakemake.params.masked),
    )
    write_json(snakemake.output[0], list(read_cameras(snakemake.input.sparse)))
