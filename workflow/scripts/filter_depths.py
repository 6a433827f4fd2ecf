from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.cameras import read_cameras
    from nrw.chunks import chunk
    from nrw.io import write_json
    from nrw.mvs import filter_depths

    ids = chunk(list(read_cameras(snakemake.input.sparse)), snakemake.wildcards.scatteritem)
    report = filter_depths(Path(snakemake.input.sparse).parent, ids, min_views=snakemake.params.settings["min_views"])
    write_json(snakemake.output[0], report)
