from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import read_json
    from nrw.dataset.split import split_photos, write_split

    densities = {photo["id"]: photo["density"] for piece in snakemake.input for photo in read_json(piece)}
    rows = split_photos(densities, seed=snakemake.params.seed, **snakemake.params.settings)
    write_split(snakemake.output[0], rows)
