rule training:
    input:
        expand(
            "results/{scene}/{stage}/{output}",
            scene=SCENES,
            stage=["appearance", "rerender", "finetune"],
            output=["model.safetensors", "config.json"],
        ),
        expand(
            "results/{scene}/completion/{output}",
            scene=LABELLED,
            output=["model.safetensors", "config.json"],
        ),
    message:
        "the networks are trained"


# checkpoints go to results/{scene}/checkpoints/, undeclared, so that an interrupted stage resumes
rule train_appearance:
    input:
        "results/{scene}/dataset",
    output:
        model="results/{scene}/appearance/model.safetensors",
        config="results/{scene}/appearance/config.json",
    log:
        "results/{scene}/logs/appearance.log",
    benchmark:
        "results/{scene}/benchmarks/appearance.tsv"
    threads: config["training"]["threads"]
    resources:
        **asks("train_appearance"),
        gpu=GPU,
    params:
        config=training_settings("appearance"),
    message:
        "{wildcards.scene}: training stage 1, appearance"
    script:
        "../scripts/train_appearance.py"


rule train_rerender:
    input:
        dataset="results/{scene}/dataset",
        init="results/{scene}/appearance/model.safetensors",
    output:
        model="results/{scene}/rerender/model.safetensors",
        config="results/{scene}/rerender/config.json",
    log:
        "results/{scene}/logs/rerender.log",
    benchmark:
        "results/{scene}/benchmarks/rerender.tsv"
    threads: config["training"]["threads"]
    resources:
        **asks("train_rerender"),
        gpu=GPU,
    params:
        config=training_settings("rerender"),
        stage="rerender",
    message:
        "{wildcards.scene}: training stage 2, rerendering with fixed appearance"
    script:
        "../scripts/train_rerender.py"


use rule train_rerender as train_finetune with:
    input:
        dataset="results/{scene}/dataset",
        init="results/{scene}/rerender/model.safetensors",
    output:
        model="results/{scene}/finetune/model.safetensors",
        config="results/{scene}/finetune/config.json",
    log:
        "results/{scene}/logs/finetune.log",
    benchmark:
        "results/{scene}/benchmarks/finetune.tsv"
    resources:
        **asks("train_finetune"),
        gpu=GPU,
    params:
        config=training_settings("finetune"),
        stage="finetune",
    message:
        "{wildcards.scene}: training stage 3, finetuning"


rule train_completion:
    input:
        "results/{scene}/dataset",
    output:
        model="results/{scene}/completion/model.safetensors",
        config="results/{scene}/completion/config.json",
    log:
        "results/{scene}/logs/completion.log",
    benchmark:
        "results/{scene}/benchmarks/completion.tsv"
    threads: config["training"]["threads"]
    resources:
        **asks("train_completion"),
        gpu=GPU,
    params:
        config=training_settings("completion"),
    message:
        "{wildcards.scene}: training the labels of novel views"
    script:
        "../scripts/train_completion.py"
