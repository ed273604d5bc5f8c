"""Makes a preset of a training run: chooses its settings, measures the model, writes weights and model card.

    python -m data_prep.make_preset RUN saved_models/NAME --held-out PHOTOS [--held-out PHOTOS] --notes NOTES.json \\
        --damage PHOTOS --choose-on PHOTOS

The settings are chosen on the sets of `--choose-on`, of sources that the run was not trained on, since a network is
surer of photos of sources that it knows; without any, on validation photos of the run; never on the held-out ones.
Each set is measured by itself, and the mean of the sets counts. They are chosen one after the other: the size that the
network sees photos at, temperature and saturation, how far colours that it is unsure of become gray, of which 1 comes
first as it is what the eye likes better, the mean with the mirror image, and a new black and white point for what the
network sees, which is for faded photos and so measured on the same photos faded too. Each time that setting stays
whose plain and balanced AuC have the highest sum, less 0.4 points for each further pass through the network that it
asks for, where a saturation is chosen of those whose colourfulness is 0.75 to 1.1 of the truth's; but the first one
stays where no other is better by 0.08 points, which is noise, and calm where it costs less than 0.3. The figures of
the card are those of `rainbownet evaluate` on each of the held-out sets, one of them with `--damage`; it is written
from their JSON, which is kept in its metadata.json.
NOTES.json holds what no figure says: "description"; "data" (how the photos were drawn), "photos" (a list of rows: how
many, of what, since when, from where, on what terms), "machine" and "commands" (a list); "limits" (a list of what it is
bad at), "failures" (what failures.jpg, which is put into the preset's folder, shows; or nothing) and "history" (a list
of what the commands do not say). Takes half an hour, and says each setting as it has been measured; writes two bytes a
parameter.
"""

import argparse
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
from keras import ops

from rainbownet import Colorizer, color, color_model, evaluation, presets, training
from rainbownet.damage import DAMAGES
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import decode_rgb, read_size
from rainbownet.evaluation import Measures

# What is tried, in this order; what comes first stays where nothing is better. A temperature above 1 makes pale what
# the network is unsure of, and a saturation above 1 gives back what that takes from the rest.
DIALS = ((1.0, 1.0), (1.0, 0.8), (1.0, 0.9), (1.0, 1.05), (1.0, 1.1), (1.2, 1.05), (1.4, 1.1), (0.7, 1.0))
TRIED = (
    [{"scales": scales} for scales in ([1.0], [0.7], [1.25], [1.5], [0.7, 1.0])],
    [{"temperature": temperature, "saturation": saturation} for temperature, saturation in DIALS],
    [{"calm": calm} for calm in (1.0, 0.5, 0.0)],
    [{"flip": flip} for flip in (False, True)],
    [{"stretch": stretch} for stretch in ("none", "network")],
)
NOISE = 0.08  # points of both AuC together, each photo with both settings: 0.15 on 180 photos, as 1 / sqrt(photos)
EYE = 0.3  # points of both AuC together that calm may cost
PASS = 0.4  # points of both AuC together that a further pass through the network, or its time, has to bring
NOTES = ("description", "data", "photos", "machine", "commands", "limits", "failures", "history")
LIFELIKE = (0.75, 1.1)  # colourfulness against the truth's
CHOSEN_ON = 600  # photos of all sets together
THINNED = 2  # of so many rows and columns of these, one is measured
AT_ONCE = 16  # photos that are coloured in one call


def make_preset(run, folder, held_out, notes, damage=None, choose_on=(), largest=math.inf):
    """Makes the preset.

    Args:
        run: folder of the training run.
        folder: folder of the preset.
        held_out: folders or archives of photos that the model never saw.
        notes: dict as in NOTES.json above.
        damage: that of `held_out` which is measured damaged too.
        choose_on: folders or archives of photos of sources that the run was not trained on, for choosing settings.
        largest: the largest of the scales that may be chosen.

    Returns:
        The preset's metadata.

    Raises:
        FileNotFoundError: there are no such photos.
        ValueError: `notes` lacks something.
    """
    if missing := [name for name in NOTES if name not in notes]:
        raise ValueError(f"The notes lack {', '.join(missing)}; expected {', '.join(NOTES)}.")
    measured = {photos: find_photos(photos) for photos in held_out}
    model = _named(color_model.load(run / "best.keras"), folder.name)
    settings = json.loads((run / "run.json").read_text())
    groups = [find_photos(photos) for photos in choose_on] or [training.validation_photos(run)]
    most = CHOSEN_ON // len(groups)
    tried = choose_settings(model, [group[:: max(1, len(group) // most)][:most] for group in groups], largest)
    figures = {}
    for photos, files in measured.items():
        result = evaluation.evaluate(model, files, embed=model.embedder, damages=DAMAGES if photos == damage else ())
        figures["/".join(Path(photos).parts[-2:])] = {
            "protocol": result.protocol, "rows": result.rows, "truth": result.truth,
            "damage": result.damage, "verdict": evaluation.verdict(result),
        }  # fmt: skip
    last = training.read_log(run / "log.csv")[-1]
    metadata = {
        **notes,
        "training": {
            "system": settings["system"], "recipe": settings["recipe"], "precision": settings["precision"],
            "seed": settings["seed"], "steps": int(float(last["step"])), "minutes": float(last["minutes"]),
        },
        "chosen_on": ", ".join(Path(p).name for p in choose_on) or "validation photos of the training set",
        "settings": tried,
        "evaluation": figures,
    }  # fmt: skip
    presets.save_preset(model, folder, metadata)
    metadata = json.loads((folder / "metadata.json").read_text())
    with write_atomically(folder / "README.md") as temporary:
        temporary.write_text(card(metadata, model.defaults))
    return metadata


def choose_settings(model, groups, largest=math.inf):
    """Chooses the settings by the rule at the top of this page, and gives them to the model as its defaults.

    Args:
        model: `ColorModel`; its `defaults` are set.
        groups: lists of `PhotoFile`, one for each set, none of them held out.
        largest: the largest of the scales that may be chosen; the others are measured all the same.

    Returns:
        List of dicts, one for each that was tried: `setting` (dict), `passes` (through the network, by their time),
        `auc`, `auc_balanced`, `psnr`, `vividness` (colorfulness over the truth's) and `chosen`.
    """
    # Those of the model's file would be asked for where nothing is set; a regression has no temperature and is never
    # unsure.
    tried = TRIED
    if model.default_temperature is None:
        tried = [[setting for setting in group if setting.get("temperature", 1.0) == 1.0] for group in TRIED]
        tried = [[{k: v for k, v in setting.items() if k != "temperature"} for setting in group] for group in tried]
        tried = [group for group in tried if "calm" not in group[0]]
    settings = {name: value for group in tried for name, value in group[0].items()}
    # All settings on photos of one size, which has the detail that the largest scale shows.
    size = evaluation.seen_size(model, [scale for setting in TRIED[0] for scale in setting["scales"]])
    groups = [[_Seen.of(photo, size) for photo in group] for group in groups]
    rows = []
    for group in tried:
        faded = "stretch" in group[0]
        found = []
        for setting in group:
            model.defaults = {**settings, **setting}
            # A photo seen larger takes the time of several.
            passes = sum(scale**2 for scale in model.defaults["scales"]) * (1 + model.defaults["flip"])
            row = {"setting": setting, "passes": passes, **_measure(model, groups, faded), "chosen": False}
            gains = ", ".join(f"{name} {row[name]:.2f}" for name in ("auc_balanced", "auc", "psnr", "vividness"))
            print(f"{_said(setting)}: {gains}", flush=True)
            found.append(row)
        best = best_of([row for row in found if max(row["setting"].get("scales", (0,))) <= largest])
        best["chosen"] = True
        settings |= best["setting"]
        rows += found
    model.defaults = settings
    return rows


def best_of(found):
    """Finds the setting that stays.

    Args:
        found: dicts with `setting`, `passes`, `auc`, `auc_balanced` and `vividness`.

    Returns:
        One of `found`.
    """

    def key(row):
        # Too little or too much colour is for the saturation to mend, and decides nothing else.
        beyond = max(LIFELIKE[0] - row["vividness"], row["vividness"] - LIFELIKE[1], 0.0)
        beyond *= "saturation" in row["setting"]
        return -beyond, row["auc"] + row["auc_balanced"] - PASS * max(row["passes"] - 1, 0)

    best = max(found, key=key)
    first = found[0]
    gain = key(best)[1] - key(first)[1]
    # Photos that are not faded, half of those of `stretch`, are the same with and without it, and add no noise.
    least = EYE if "calm" in first["setting"] else NOISE / 2 if "stretch" in first["setting"] else NOISE
    return first if key(best)[0] == key(first)[0] and gain < least else best


@dataclasses.dataclass(frozen=True)
class _Seen:
    """A photo that settings are chosen on: L, (height, width), as it is and faded; true pixels, every `THINNED`-th."""

    l: np.ndarray
    faded: np.ndarray
    rgb: np.ndarray
    lab: np.ndarray

    @classmethod
    def of(cls, photo, size):
        data = photo.read()
        rgb = decode_rgb(data, min(size, *read_size(data)))
        side = min(rgb.shape[:2])
        top, left = (np.array(rgb.shape[:2]) - side) // 2
        rgb = rgb[top : top + side, left : left + side]
        thin = rgb[::THINNED, ::THINNED]
        l, faded = (ops.convert_to_numpy(color.luminance(seen))[..., 0] for seen in (rgb, DAMAGES["faded"](rgb)))
        return cls(l, faded, thin, ops.convert_to_numpy(color.rgb_to_lab(thin)))


def _measure(model, groups, faded=False):
    """Figures of a model, means over groups of `_Seen`; `faded`, both AuC are means over them as they are and faded."""
    colorizer = Colorizer(model)
    found = []
    for photos in groups:
        results = []
        for planes in [[photo.l for photo in photos]] + [[photo.faded for photo in photos]] * faded:
            measures = Measures()
            for start in range(0, len(photos), AT_ONCE):
                batch = slice(start, start + AT_ONCE)
                for photo, ab in zip(photos[batch], colorizer.chroma(planes[batch]), strict=True):
                    truth = photo.lab[..., 1:], photo.lab[..., :1], photo.rgb
                    measures.update(ab[::THINNED, ::THINNED], *truth)
            results.append(measures.result())
        found.append({
            "auc": sum(result["auc"] for result in results) / len(results),
            "auc_balanced": sum(result["auc_balanced"] for result in results) / len(results),
            "psnr": results[0]["psnr"],
            "vividness": results[0]["colorfulness_ratio"],
        })  # fmt: skip
    return {name: sum(figures[name] for figures in found) / len(found) for name in found[0]}


def card(metadata, settings):
    """Writes the model card.

    Args:
        metadata: the preset's, with what `make_preset` adds.
        settings: dict of the settings that were chosen.

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
        f"{metadata['size'][0]}x{metadata['size'][1]}; {_said(settings)}.",
        "",
        "## What it is bad at",
        "",
        *(f"- {limit}" for limit in metadata["limits"]),
    ]
    if metadata["failures"]:
        lines += ["", metadata["failures"], "", "![Failures](failures.jpg)"]
    lines += [
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
            *_table(
                ("", "PSNR (dB)", "AuC (%)", "balanced AuC (%)", "colourfulness", "against the truth's"),
                (
                    (
                        row, f"{f['psnr']:.2f}", f"{f['auc']:.1f}", f"{f['auc_balanced']:.1f}",
                        f"{f['colorfulness']:.1f}", f"{f['colorfulness'] / truth['colorfulness']:.2f}",
                    )
                    for row, f in result["rows"].items()
                ),
            ),
            "",
            result["verdict"],
        ]  # fmt: skip
        if result["damage"]:
            lines += ["", f"Damages take of that gain: {_taken(result['damage'])}."]
    lines += [
        "",
        "## Settings",
        "",
        f"They were chosen on {metadata['chosen_on']}, one after the other; for `stretch` both AuC are means over the "
        "photos as they are and faded:",
        "",
        *_table(
            ("setting", "balanced AuC (%)", "AuC (%)", "PSNR (dB)", "colourfulness against the truth's"),
            (
                (
                    f"{_said(row['setting'])}{' (chosen)' if row['chosen'] else ''}", f"{row['auc_balanced']:.2f}",
                    f"{row['auc']:.2f}", f"{row['psnr']:.2f}", f"{row['vividness']:.2f}",
                )
                for row in metadata["settings"]
            ),
        ),
        "",
        "## Training",
        "",
        metadata["data"],
        "",
        *_table(("photos", "of what", "since", "from", "terms"), metadata["photos"]),
        "",
        "```bash",
        *metadata["commands"],
        "```",
        "",
        f"The last training ran {how['steps']:,} steps of {how['recipe']['batch']} photos in {how['minutes']:.0f} "
        f"minutes on {metadata['machine']}.",
    ]  # fmt: skip
    if metadata["history"]:
        lines += ["", "What the commands do not say:", "", *(f"- {said}" for said in metadata["history"])]
    return "\n".join(lines) + "\n"


def _table(columns, rows):
    """The lines of a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def _taken(damage):
    shares = {name: entry["loss"]["auc_balanced"]["share_of_gain"] for name, entry in damage.items()}
    if None in shares.values():
        return "nothing, since there is none"
    return ", ".join(f"{name} {share:.0%}" for name, share in sorted(shares.items(), key=lambda item: -item[1]))


def _said(settings):
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _named(model, name):
    copy = color_model.ColorModel.from_config({**model.get_config(), "name": name})
    copy.set_weights(model.get_weights())
    return copy


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("preset", type=Path)
    parser.add_argument("--held-out", type=Path, action="append", required=True)
    parser.add_argument("--damage", type=Path, help="that of the held-out sets which is measured damaged too")
    parser.add_argument(
        "--choose-on", type=Path, action="append", default=[], help="photos of sources that training does not know"
    )
    parser.add_argument(
        "--largest", type=float, default=math.inf, help="the largest scale that may be chosen, where time is short"
    )
    parser.add_argument("--notes", type=Path, required=True)
    args = parser.parse_args(arguments)
    if args.damage and args.damage not in args.held_out:
        parser.error(f"--damage {args.damage} is none of the --held-out sets.")
    notes = json.loads(args.notes.read_text())
    make_preset(args.run, args.preset, args.held_out, notes, args.damage, args.choose_on, args.largest)
    print((args.preset / "README.md").read_text())


if __name__ == "__main__":
    main()
