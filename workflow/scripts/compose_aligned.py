from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import read_json, write_json
    from nrw.core.pieces import chunk
    from nrw.framebuffers.aligned import compose
    from nrw.geometry.cameras import read_cameras

    out = Path(snakemake.output[0])
    framebuffers = out.parents[1]
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    compose(
        Path(snakemake.input.cloud),
        framebuffers,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        Path(snakemake.input.colors),
        framebuffers.parent / "aligned",
        ids,
        out.with_suffix(".key"),
        **snakemake.params.settings,
        max_depth=max(photo["max_depth"] for chunk in snakemake.input.rasterized for photo in read_json(chunk)),
    )
    write_json(out, ids)
