from nrw.config.sources import remember
from nrw.core.errors import exit_with_message
from nrw.jobs import messages
from nrw.jobs.endings import kernel_kills
from nrw.preflight import downloads
from nrw.preflight.results import check_results

KILLS = kernel_kills()
STAGE_OF = {rule.name: Path(rule.snakefile).stem for rule in workflow.rules}


def check_machine(planned):
    """Raises UserError where planned jobs need GPUs, or a COLMAP with CUDA, that this machine does not have."""
    if config["device"] == "cuda" and any(job.resources.get("gpu") for job in planned):
        from nrw.jobs.gpus import require  # slow to load

        limit = workflow.global_resources.get("gpu")
        require(None if limit is None else int(limit.value))
    if any(job.rule.name == "patch_match" for job in planned):
        from nrw.mvs.colmap import require_cuda

        require_cuda()


onstart:
    for scene, source in SCENES.items():
        with exit_with_message():
            check_results(SOURCES[scene])
        remember(SOURCES[scene], source)
    # None on a cluster, where each job has its own
    cores = workflow.resource_settings.cores
    planned = list(workflow.dag.needrun_jobs())
    with exit_with_message():
        if cores is not None:
            check_machine(planned)
        downloads.fetch(config, {job.rule.name for job in planned})
    print(messages.start(config, cores), flush=True)


onsuccess:
    scenes = [FILES.of(scene) for scene in SCENES]
    results = [path for files in scenes for path in [*files.videos, files.report]]
    print("", messages.end(results), "", sep="\n")


onerror:
    print("", messages.failure(log, STAGE_OF, KILLS), "", sep="\n")
