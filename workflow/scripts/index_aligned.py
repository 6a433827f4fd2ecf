from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import read_json
    from nrw.framebuffers.aligned import index_aligned
    from nrw.scene.files import SceneFiles

    aligned = Path(snakemake.output[0]).parent
    reports = [photo for piece in snakemake.input.rasterized for photo in read_json(piece)]
    index_aligned(
        aligned,
        SceneFiles(aligned.parent).framebuffers,
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.table),
        reports,
        max_depth=max(photo["max_depth"] for photo in reports),
    )
