from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.io import write_json
    from nrw.core.pieces import chunk
    from nrw.geometry.cameras import read_cameras
    from nrw.mvs.sky import mask_sky

    torch.set_num_threads(snakemake.threads)
    out = Path(snakemake.output[0])
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    mask_sky(Path(snakemake.input.sparse).parent, ids, out.with_suffix(".key"))
    write_json(out, ids)
