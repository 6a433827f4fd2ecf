rule training:
    input:
        expand([FILES.model(stage) for stage in PHOTO_STAGES], scene=SCENES),
        expand([FILES.stage_config(stage) for stage in PHOTO_STAGES], scene=SCENES),
        expand(
            [FILES.model("completion"), FILES.stage_config("completion")],
            scene=LABELLED,
        ),
    message:
        "the networks are trained"


# Checkpoints are undeclared, so that an interrupted stage resumes. `depends_on` is there for Snakemake alone, which
# trains again when it changes; the script reads the whole configuration.
rule train_appearance:
    input:
        dataset=FILES.dataset,
    output:
        model=FILES.model("appearance"),
        config=FILES.stage_config("appearance"),
    log:
        FILES.log("train_appearance"),
    benchmark:
        FILES.record("train_appearance")
    threads: config["training"]["threads"]
    resources:
        **asks("train_appearance"),
        gpu=GPU,
    params:
        stage="appearance",
        depends_on=stage_settings(config, "appearance"),
    message:
        "{wildcards.scene}: training stage 1, appearance"
    script:
        "../scripts/train_stage.py"


use rule train_appearance as train_rerender with:
    input:
        dataset=FILES.dataset,
        detail=detail,
        init=FILES.model("appearance"),
    output:
        model=FILES.model("rerender"),
        config=FILES.stage_config("rerender"),
    log:
        FILES.log("train_rerender"),
    benchmark:
        FILES.record("train_rerender")
    resources:
        **asks("train_rerender"),
        gpu=GPU,
    params:
        stage="rerender",
        depends_on=stage_settings(config, "rerender"),
    message:
        "{wildcards.scene}: training stage 2, rerendering with fixed appearance"


use rule train_appearance as train_finetune with:
    input:
        dataset=FILES.dataset,
        detail=detail,
        init=FILES.model("rerender"),
    output:
        model=FILES.model("finetune"),
        config=FILES.stage_config("finetune"),
    log:
        FILES.log("train_finetune"),
    benchmark:
        FILES.record("train_finetune")
    resources:
        **asks("train_finetune"),
        gpu=GPU,
    params:
        stage="finetune",
        depends_on=stage_settings(config, "finetune"),
    message:
        "{wildcards.scene}: training stage 3, finetuning"


use rule train_appearance as train_completion with:
    output:
        model=FILES.model("completion"),
        config=FILES.stage_config("completion"),
    log:
        FILES.log("train_completion"),
    benchmark:
        FILES.record("train_completion")
    resources:
        **asks("train_completion"),
        gpu=GPU,
    params:
        stage="completion",
        depends_on=stage_settings(config, "completion"),
    message:
        "{wildcards.scene}: training the labels of novel views"
