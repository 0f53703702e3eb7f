"""Train a network on labelled images and print where to look at it: convert, split, train, score, evaluate, register.

    python docs/train-image-folder.py flowers.zip                      a folder for each class, or an archive of them
    python docs/train-image-folder.py photos/ --network densenet121 --epochs 20 --compute-target docker

Each module is a run of its own; what they write is in one folder, FLOWERS-training by default.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from toolkit import Environment, Experiment, Run, Workspace
from toolkit.vision.step import step

ENVIRONMENT = Path(__file__).resolve().parent.parent / "environments" / "vision-env.yml"


def main() -> None:
    options = parse_arguments()
    ws = Workspace.from_config()
    experiment = Experiment(workspace=ws, name=options.experiment)
    env = Environment.from_conda_specification(name="vision-env", file_path=ENVIRONMENT)
    name = options.images.resolve().name.partition(".")[0]
    folder = options.output or Path(f"{name}-training")

    def run_step(module: str, **parameters: Any) -> Run:
        config = step(module, options.compute_target, env, **parameters)
        run = experiment.submit(config, tags={"step": module})
        run.wait_for_completion(show_output=True)
        return run

    run_step("convert-to-image-directory", input_path=options.images, output_path=folder / "images")
    run_step(
        "split-image-directory",
        input_path=folder / "images",
        output1_path=folder / "train",
        output2_path=folder / "valid",
        fraction=0.9,
    )
    run_step(
        "init-image-transformation",
        output_path=folder / "transformation",
        size=options.size * 8 // 7,
        crop_size=options.size,
    )
    run_step("network", output_path=folder / "network", model_name=options.network, pretrained=options.pretrained)
    training = run_step(
        "train-pytorch-model",
        untrained_model_path=folder / "network",
        train_data_path=folder / "train",
        valid_data_path=folder / "valid",
        trained_model_path=folder / "model",
        transformation_path=folder / "transformation",
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    run_step(
        "score-image-model",
        trained_model_path=folder / "model",
        dataset_path=folder / "valid",
        scored_dataset_path=folder / "scored",
    )
    evaluation = run_step(
        "evaluate-model", scored_dataset_path=folder / "scored", evaluation_path=folder / "evaluation"
    )
    model = training.register_model(model_name=name, model_path="outputs/trained_model_outputs")

    print(f"accuracy {evaluation.get_metrics()['Accuracy']:.1%}; the model is {model.uri}")
    print(evaluation.get_portal_url())
    print(training.get_portal_url())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="a folder or an archive with a folder of images for each class")
    parser.add_argument("--output", type=Path, help="the folder for all results (default: NAME-training)")
    parser.add_argument("--experiment", default="train-image-folder")
    parser.add_argument("--compute-target", default="local")
    parser.add_argument("--network", default="resnet18", help="any classifier of torchvision (default: resnet18)")
    parser.add_argument("--pretrained", action="store_true", help="start from weights trained on ImageNet")
    parser.add_argument("--size", type=int, default=224, help="of the images in pixels (default: 224)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    return parser.parse_args()


if __name__ == "__main__":
    main()
