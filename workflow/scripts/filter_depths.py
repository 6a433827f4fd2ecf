from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.cameras import read_cameras
    from nrw.chunks import chunk
    from nrw.io import write_json
    from nrw.mvs.consistency import filter_depths
    from nrw.mvs.workspace import Workspace
    from nrw.resume import pending

    torch.set_num_threads(snakemake.threads)
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    out, workspace = Path(snakemake.output[0]), Workspace(Path(snakemake.input.sparse).parent)
    depths = [workspace.depth_map(photo, "photometric") for photo in workspace.cameras]
    fingerprint = {"settings": snakemake.params.settings, "depths": [path for path in depths if path.is_file()]}
    todo = pending(
        ids,
        out.with_suffix(".key"),
        fingerprint,
        lambda photo: [workspace.depth_map(photo, "geometric"), workspace.normal_map(photo, "geometric")],
    )
    filter_depths(workspace.root, todo, **snakemake.params.settings)
    write_json(out, ids)
