from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import read_json, write_json
    from nrw.core.pieces import chunk
    from nrw.framebuffers.aligned import compose_aligned
    from nrw.geometry.cameras import read_cameras
    from nrw.scene.files import SceneFiles

    out = Path(snakemake.output[0])
    framebuffers = out.parents[1]
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    compose_aligned(
        Path(snakemake.input.cloud),
        framebuffers,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        Path(snakemake.input.colors),
        Path(snakemake.input.lighting) if snakemake.input.lighting else None,
        SceneFiles(framebuffers.parent).aligned,
        ids,
        out.with_suffix(".key"),
        **snakemake.params.settings,
        max_depth=max(photo["max_depth"] for piece in snakemake.input.rasterized for photo in read_json(piece)),
    )
    write_json(out, ids)
