from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.cameras import read_cameras
    from nrw.chunks import chunk
    from nrw.io import write_json
    from nrw.mvs.consistency import filter_depths

    torch.set_num_threads(snakemake.threads)
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    filter_depths(Path(snakemake.input.sparse).parent, ids, **snakemake.params.settings)
    write_json(snakemake.output[0], ids)
