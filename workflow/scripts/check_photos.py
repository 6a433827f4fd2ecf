from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.io import write_json
    from nrw.photos.table import usable_ids

    folder = snakemake.config["scenes"][snakemake.wildcards.scene]["photos"]
    write_json(snakemake.output[0], usable_ids(snakemake.input[0], folder))
