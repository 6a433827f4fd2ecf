from nrw.jobs import messages

STAGE_OF = {rule.name: Path(rule.snakefile).stem for rule in workflow.rules}


onstart:
    # None on a cluster, where each job has its own
    print(messages.start(config, workflow.resource_settings.cores), flush=True)


onsuccess:
    scenes = [FILES.of(scene) for scene in SCENES]
    results = [path for files in scenes for path in [*files.videos, files.report]]
    print("", messages.end(results), "", sep="\n")


onerror:
    print("", messages.failure(log, STAGE_OF), "", sep="\n")
