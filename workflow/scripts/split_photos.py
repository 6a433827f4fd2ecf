from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.dataset import split, write_split
    from nrw.io import read_json

    densities = {photo["id"]: photo["density"] for chunk in snakemake.input for photo in read_json(chunk)}
    write_split(snakemake.output[0], split(densities, seed=snakemake.params.seed, **snakemake.params.settings))
