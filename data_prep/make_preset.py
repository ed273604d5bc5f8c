"""Makes a preset of a training run: chooses the temperature, measures the model, writes weights and model card.

    python -m data_prep.make_preset RUN saved_models/NAME --held-out PHOTOS [--held-out PHOTOS] --notes NOTES.json

The temperature is chosen on validation photos of the run, never on the held-out ones: of those tried whose balanced
AuC is within a quarter of a point of the best, which is noise, the one whose colours are most nearly as strong as the
truth's. The figures of the card are those of `rainbownet evaluate` on each of the held-out sets; it is written from
their JSON, which is kept in the preset's metadata.json. NOTES.json holds what no figure says: "description", "data",
"machine", "commands" (a list) and "limits" (a list of sentences). Takes some minutes; writes 15 MB for RainbowNet.
"""

import argparse
import json
from pathlib import Path

from rainbownet import color_model, evaluation, presets, training
from rainbownet.data.files import find_photos, write_atomically

TEMPERATURES = (0.0, 0.2, 0.38, 0.5, 0.7, 0.85, 1.0)
NOISE = 0.25  # points of balanced AuC
CHOSEN_ON = 300  # validation photos


def make_preset(run, folder, held_out, notes):
    """Makes the preset.

    Args:
        run: folder of the training run.
        folder: folder of the preset.
        held_out: folders or archives of photos that the model never saw.
        notes: dict as in NOTES.json above.

    Returns:
        The preset's metadata.
    """
    model = _named(color_model.load(run / "best.keras"), folder.name)
    settings = json.loads((run / "run.json").read_text())
    tried = _try_temperatures(model, training.validation_photos(run)[:CHOSEN_ON])
    if tried:
        model.codec.temperature = choose_temperature(tried)
    figures = {}
    for photos in held_out:
        result = evaluation.evaluate(model, find_photos(photos), embed=model.embedder)
        figures["/".join(Path(photos).parts[-2:])] = {
            "protocol": result.protocol, "rows": result.rows, "truth": result.truth,
            "verdict": evaluation.verdict(result),
        }  # fmt: skip
    last = training.read_log(run / "log.csv")[-1]
    metadata = {
        **notes,
        "training": {
            "system": settings["system"], "recipe": settings["recipe"], "precision": settings["precision"],
            "seed": settings["seed"], "steps": int(float(last["step"])), "minutes": float(last["minutes"]),
        },
        "temperatures": tried,
        "evaluation": figures,
    }  # fmt: skip
    presets.save_preset(model, folder, metadata)
    metadata = json.loads((folder / "metadata.json").read_text())
    with write_atomically(folder / "README.md") as temporary:
        temporary.write_text(card(metadata, model.default_temperature))
    return metadata


def choose_temperature(tried):
    """Chooses the temperature, by the rule at the top of this page.

    Args:
        tried: list of dicts with `temperature`, `vividness` (colorfulness over the truth's) and `auc_balanced`.

    Returns:
        The temperature.
    """
    best = max(row["auc_balanced"] for row in tried)
    as_good = [row for row in tried if row["auc_balanced"] >= best - NOISE]
    return min(as_good, key=lambda row: abs(row["vividness"] - 1))["temperature"]


def card(metadata, temperature):
    """Writes the model card.

    Args:
        metadata: the preset's, with what `make_preset` adds.
        temperature: the temperature that was chosen.

    Returns:
        Markdown.
    """
    how = metadata["training"]
    lines = [
        f"# {metadata['name']}",
        "",
        metadata["description"],
        "",
        f"{metadata['parameters']:,} parameters, {metadata['bytes'] / 1e6:.1f} MB (float16), trained at "
        f"{metadata['size'][0]}x{metadata['size'][1]}; temperature {temperature}.",
        "",
        "## Training",
        "",
        metadata["data"],
        "",
        "```bash",
        *metadata["commands"],
        "```",
        "",
        f"The training ran {how['steps']:,} steps of {how['recipe']['batch']} photos in {how['minutes']:.0f} "
        f"minutes on {metadata['machine']}.",
        "",
        "## Figures",
        "",
        "On photos that were not trained on, by `rainbownet evaluate`, which tells what each column means.",
    ]
    for name, result in metadata["evaluation"].items():
        protocol, truth = result["protocol"], result["truth"]
        lines += [
            "",
            f"### {name}",
            "",
            f"{protocol['photos']} photos, short side {protocol['size']}, {protocol['crop']} crop, temperature "
            f"{protocol['temperature']}.",
            "",
            "| | PSNR (dB) | AuC (%) | balanced AuC (%) | colourfulness | against the truth's |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row} | {f['psnr']:.2f} | {f['auc']:.1f} | {f['auc_balanced']:.1f} | {f['colorfulness']:.1f} | "
            f"{f['colorfulness'] / truth['colorfulness']:.2f} |"
            for row, f in result["rows"].items()
        ]
        lines += ["", result["verdict"]]
    lines += [
        "",
        "The temperature was chosen on validation photos of the training set:",
        "",
        "| temperature | balanced AuC (%) | AuC (%) | colourfulness against the truth's |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['temperature']} | {row['auc_balanced']:.1f} | {row['auc']:.1f} | {row['vividness']:.2f} |"
        for row in metadata["temperatures"]
    ]
    lines += ["", "## What it is bad at", ""]
    lines += [f"- {limit}" for limit in metadata["limits"]]
    return "\n".join(lines) + "\n"


def _named(model, name):
    copy = color_model.ColorModel.from_config({**model.get_config(), "name": name})
    copy.set_weights(model.get_weights())
    return copy


def _try_temperatures(model, photos):
    if model.default_temperature is None:
        return []
    rows = []
    for temperature in TEMPERATURES:
        result = evaluation.evaluate(model, photos, temperature=temperature, embed=model.embedder, progress=False)
        figures = result.rows["model"]
        rows.append(
            {
                "temperature": temperature,
                "auc": figures["auc"],
                "auc_balanced": figures["auc_balanced"],
                "psnr": figures["psnr"],
                "vividness": figures["colorfulness"] / result.truth["colorfulness"],
            }
        )
    return rows


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("preset", type=Path)
    parser.add_argument("--held-out", type=Path, action="append", required=True)
    parser.add_argument("--notes", type=Path, required=True)
    args = parser.parse_args(arguments)
    make_preset(args.run, args.preset, args.held_out, json.loads(args.notes.read_text()))
    print((args.preset / "README.md").read_text())


if __name__ == "__main__":
    main()
