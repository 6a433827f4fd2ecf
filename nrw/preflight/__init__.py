"""What a run of the workflow needs, before its first rule.

`files` checks those that the configuration names, `results` whether Snakemake and the run can write theirs, `downloads`
fetches what the run would download.
"""
