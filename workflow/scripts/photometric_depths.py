from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.ade20k import labels_of
    from nrw.core.io import write_json
    from nrw.core.pieces import chunk
    from nrw.geometry.cameras import read_cameras
    from nrw.jobs.gpus import take
    from nrw.mvs.photometric import photometric_depths

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    photometric_depths(
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        ids,
        **snakemake.params.settings,
        device=snakemake.params.device,
        masked=labels_of(snakemake.params.masked),
    )
    write_json(snakemake.output[0], ids)
