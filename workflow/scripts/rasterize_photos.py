from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.io import write_json
    from nrw.core.pieces import chunk
    from nrw.framebuffers.rasters import rasterize_photos
    from nrw.geometry.cameras import read_cameras
    from nrw.jobs.gpus import take

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    out = Path(snakemake.output[0])
    report = rasterize_photos(
        Path(snakemake.input.cloud),
        Path(snakemake.input.sparse).parent,
        out.parents[1],
        chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem),
        out.with_suffix(".key"),
        **snakemake.params.settings,
        device=snakemake.params.device,
    )
    write_json(out, report)
