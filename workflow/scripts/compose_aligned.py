from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.cameras import read_cameras
    from nrw.chunks import chunk
    from nrw.framebuffers import compose
    from nrw.io import write_json

    framebuffers = Path(snakemake.output[0]).parents[1]
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    compose(
        framebuffers,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        snakemake.input.colors,
        framebuffers.parent / "aligned",
        ids,
        splat=snakemake.params.settings["splat"],
    )
    write_json(snakemake.output[0], ids)
