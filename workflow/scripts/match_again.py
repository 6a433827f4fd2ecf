from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.ade20k import labels_of
    from nrw.core.io import write_json
    from nrw.core.pieces import chunk, pending
    from nrw.geometry.cameras import read_cameras
    from nrw.mvs.geometric import PASSES, match_again
    from nrw.mvs.workspace import Workspace

    torch.set_num_threads(snakemake.threads)
    kind, settings, masked = snakemake.params.kind, snakemake.params.settings, labels_of(snakemake.params.masked)
    labels = Path(snakemake.input.labels).parent if snakemake.input.labels else None
    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    out, workspace = Path(snakemake.output[0]), Workspace(Path(snakemake.input.sparse).parent)
    given = [workspace.depth_map(photo, PASSES[kind].given) for photo in workspace.cameras]
    fingerprint = {
        "settings": settings,
        "masked": sorted(masked),
        "labels": labels or [],
        "given": [path for path in given if path.is_file()],
    }
    todo = pending(
        ids,
        out.with_suffix(".key"),
        fingerprint,
        lambda photo: [workspace.depth_map(photo, kind), workspace.normal_map(photo, kind)],
    )
    match_again(workspace.root, labels, todo, kind, **settings, device=snakemake.params.device, masked=masked)
    write_json(out, ids)
