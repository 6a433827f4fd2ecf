from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.cameras import read_cameras
    from nrw.chunks import chunk
    from nrw.framebuffers import rasterize_photos
    from nrw.io import write_json

    settings = snakemake.params.settings
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    densities = rasterize_photos(
        snakemake.input.cloud,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.output[0]).parents[1],
        ids,
        max_size=settings["max_size"],
        splat=settings["splat"],
        backend=settings["backend"],
        device=snakemake.params.device,
    )
    write_json(snakemake.output[0], densities)
