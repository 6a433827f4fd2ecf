from nrw import run

STAGE_OF = {rule.name: Path(rule.snakefile).stem for rule in workflow.rules}


onstart:
    # None on a cluster, where each job has its own
    print(run.start(config, workflow.resource_settings.cores), flush=True)


onsuccess:
    print("", run.end(config), "", sep="\n")


onerror:
    print("", run.failure(log, STAGE_OF), "", sep="\n")
