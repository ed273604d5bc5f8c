"""What an evaluation found: the figures, how sure they are, what they are worth in words, and the files of them."""

import csv
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table

from rainbownet.colorizer import Settings
from rainbownet.data.files import NAME_ENCODING, write_atomically
from rainbownet.evaluation.measures import diagnose

MODEL = "model"
GRAY = "gray"
SINGLE = "best single color"
ANOTHER = "another photo's colors"

DRAWS = 1000
"""Bootstrap samples: enough for the ends of a 95% interval (Efron & Tibshirani, "An introduction to the bootstrap",
1993, section 13.3)."""


@dataclass(frozen=True)
class Evaluation:
    """A model's figures beside those of doing nothing.

    Args:
        rows: figures by row: `MODEL`, `GRAY`, `SINGLE` and, with two photos or more, `ANOTHER`; keys as in
            `Measures.result`, without those of the truth.
        truth: colourfulness, chroma, cast, nearly gray share and hue coverage of the true colours.
        protocol: how it was measured.
        per_photo: for each photo its name, height and width, `truth_colorfulness`, and every other figure of a photo
            (`psnr`, `ssim`, `auc`, `ab_distance`, `ciede2000`, ...) as a dict by row, and by damage where damages were
            measured.
        skipped: pairs of name and reason.
        intervals: for each row the figures' bootstrap 95% intervals, pairs of low and high.
        gains: for each way of doing nothing, by key of a figure: `mean`, what the model has more than it, and the
            `interval` of that, from the same samples of photos for both.
        damage: for each damage its `figures`, and `loss`, of the figures `auc_balanced` and `auc`: `mean` and
            `interval` of what the damage takes from the model, and `share_of_gain` (`None` where there is no gain);
            empty where damages were not measured.
        examples: list of `Example`: the best, the median and the worst photos, where pictures were wanted.
    """

    rows: dict
    truth: dict
    protocol: dict
    per_photo: list
    skipped: list
    intervals: dict = field(default_factory=dict)
    gains: dict = field(default_factory=dict)
    damage: dict = field(default_factory=dict)
    examples: list = field(default_factory=list)

    def protocol_line(self):
        """Gives the protocol as one line, without which no figure can be compared with another."""
        p = self.protocol
        crop = "center square" if p["crop"] == "square" else "none"
        temperature = "none" if p["temperature"] is None else p["temperature"]
        small = f", {p['smaller']} smaller ones at their own size" if p["smaller"] else ""
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        seen = " to ".join(dict.fromkeys(f"{height} x {width}" for height, width in p["network_saw"]))
        damages = f"; {p['damage']}" if self.damage else ""
        settings = "".join(f"; {text}" for text in _unusual(p["settings"]))
        return (
            f"{p['photos']} photos{skipped}; short side {p['size']}{small}; crop: {crop}; the network saw {seen}; "
            f"chroma upsampled: {p['interpolation']}; temperature: {temperature}{settings}; "
            f"PSNR and SSIM: RGB, 8 bits, mean of photos; accuracy in {p['accuracy_buckets']} buckets{damages}; "
            f"intervals: 95 %, {p['bootstrap_draws']} bootstrap samples of the photos; {p['model']}, "
            f"{p['parameters']:,} parameters; rainbownet {p['versions']['rainbownet']}, keras {p['versions']['keras']}"
        )

    def table(self):
        """Draws the figures as a `rich.table.Table`, with the protocol below."""
        table = Table(title="Evaluation", caption=self.protocol_line(), caption_justify="left")
        table.add_column("")
        table.add_column(f"{MODEL}, 95 % interval", justify="right", style="bold", no_wrap=True)
        for name in [*list(self.rows)[1:], "the truth"]:
            table.add_column(name, justify="right")
        for heading, key, form in self.columns():
            figures = self.rows[MODEL]
            bounds = self.intervals[MODEL].get(key)
            cells = [with_interval(form, figures[key], bounds) if bounds else form.format(figures[key])]
            for others in [*list(self.rows.values())[1:], self.truth]:
                cells.append(form.format(others[key]) if key in others else "")
            table.add_row(heading, *cells)
        return table

    def gains_table(self):
        """Draws what the model has more than each way of doing nothing, with intervals."""
        table = Table(
            title="More than doing nothing",
            caption="In brackets the 95 % interval; bold where the model is better beyond doubt.",
            caption_justify="left",
        )
        table.add_column("")
        for rival in self.gains:
            table.add_column(f"over {rival}", justify="right")
        for heading, key, form in self.columns():
            if key in BETTER:
                cells = []
                for gains in self.gains.values():
                    text = ""
                    if key in gains:
                        text = with_interval(form.replace("{:", "{:+"), gains[key]["mean"], gains[key]["interval"])
                    cells.append(f"[bold]{text}[/]" if key in gains and surely_better(key, gains[key]) else text)
                table.add_row(heading, *cells)
        return table

    def damage_table(self):
        """Draws the damage grid: the model's figures for damaged photos, and what the damage takes from them."""
        table = Table(
            title="The same photos damaged",
            caption="The loss is that of balanced AuC; the network sees the damaged photo, and its colors are measured "
            "against the undamaged one's, on its luminance.",
            caption_justify="left",
        )
        table.add_column("")
        columns = [column for column in self.columns() if column[1] in DAMAGE_KEYS]
        for heading in [*(heading for heading, _, _ in columns), "loss", "of the gain"]:
            table.add_column(heading, justify="right")
        table.add_row("undamaged", *(form.format(self.rows[MODEL][key]) for _, key, form in columns), "", "")
        for name, entry in self.damage.items():
            loss = entry["loss"]["auc_balanced"]
            share = "no gain" if loss["share_of_gain"] is None else f"{loss['share_of_gain']:.0%}"
            cells = [form.format(entry["figures"][key]) for _, key, form in columns]
            table.add_row(name, *cells, with_interval("{:.1f}", loss["mean"], loss["interval"]), share)
        return table

    def columns(self):
        """Gives heading, key and format of the figures that were measured."""
        fid = [(key.upper().replace("_", " "), key, "{:.1f}") for key in self.rows[MODEL] if key.startswith("fid_")]
        return [column for column in [*_COLUMNS, *fid] if column[1] in self.rows[MODEL]]

    def content(self):
        """Gives everything but the pictures as a dict that JSON can hold."""
        return {
            "protocol": self.protocol,
            "rows": self.rows,
            "truth": self.truth,
            "verdict": verdict(self),
            "intervals": self.intervals,
            "gains": self.gains,
            "damage": self.damage,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "per_photo": self.per_photo,
        }

    def to_json(self, path):
        """Writes everything, and the verdict, as JSON.

        Args:
            path: file to write.
        """
        with write_atomically(Path(path)) as temporary:
            Path(temporary).write_text(json.dumps(self.content(), indent=1) + "\n", encoding="utf-8")

    def to_csv(self, path):
        """Writes the figures of each photo: a line for each photo and row, and for each damage.

        Args:
            path: file to write.
        """
        keys = [key for key, value in self.per_photo[0].items() if isinstance(value, dict)]
        about = [key for key in self.per_photo[0] if key not in keys]
        with (
            write_atomically(Path(path)) as temporary,
            open(temporary, "w", newline="", **NAME_ENCODING) as file,
        ):
            lines = csv.writer(file)
            lines.writerow([*about, "row", *keys])
            for photo in self.per_photo:
                for row in photo[keys[0]]:
                    values = [photo[key].get(row) for key in keys]
                    values = ["" if value is None else f"{value:.6g}" for value in values]
                    lines.writerow([*(photo[key] for key in about), row, *values])


@dataclass(frozen=True)
class Example:
    """A photo to look at.

    Args:
        kind: "best", "median" or "worst".
        name: the photo's.
        figures: the model's figures for it.
        gain: how much less its CIEDE2000 is than the gray photo's.
        pictures: pairs of a caption and (height, width, 3) uint8: gray, ours, truth.
        damaged: triples of a damage's name, the damaged photo as the network saw it, and in its colours.
    """

    kind: str
    name: str
    figures: dict
    gain: float
    pictures: list
    damaged: list


_COLUMNS = (
    ("PSNR dB", "psnr", "{:.2f}"),
    ("SSIM", "ssim", "{:.3f}"),
    ("AuC %", "auc", "{:.1f}"),
    ("balanced AuC %", "auc_balanced", "{:.1f}"),
    ("ab distance", "ab_distance", "{:.1f}"),
    ("CIEDE2000", "ciede2000", "{:.2f}"),
    ("LPIPS", "lpips", "{:.3f}"),
    ("accuracy", "bucket_accuracy", "{:.1%}"),
    ("top-5", "top5", "{:.1%}"),
    ("colorfulness", "colorfulness", "{:.1f}"),
    ("vividness", "colorfulness_ratio", "{:.2f}"),
    ("chroma", "chroma", "{:.1f}"),
    ("cast", "cast", "{:.2f}"),
    ("nearly gray", "near_gray", "{:.0%}"),
    ("hues", "hue_coverage", "{:.0%}"),
)

BETTER = {
    "psnr": 1, "ssim": 1, "auc": 1, "auc_balanced": 1, "ab_distance": -1, "ciede2000": -1, "lpips": -1,
    "bucket_accuracy": 1, "top5": 1,
}  # fmt: skip
"""Figures that say how near a prediction is to the truth: 1 where more is better, -1 where less is."""

DAMAGE_KEYS = ("auc_balanced", "auc", "ciede2000", "colorfulness_ratio")
"""Figures that the damage grid shows."""

# No interval for what is a count, an angle, or not the prediction's.
_CERTAIN = ("photos", "pixels", "cast_hue")


def bootstrap(measures, draws=DRAWS, seed=0):
    """Draws the photos again and again, with replacement, the same for all rows.

    Args:
        measures: `Measures` by name, all of the same photos in the same order.
        draws: number of samples.
        seed: of the draws.

    Returns:
        Dict by name of dicts by key of (draws,) arrays, for every figure of the predicted colours.
    """
    photos = next(iter(measures.values())).photos
    weights = np.random.default_rng(seed).multinomial(photos, np.full(photos, 1 / photos), draws).astype("int16")
    return {
        name: {
            key: values
            for key, values in gathered.resampled(weights).items()
            if key not in _CERTAIN and not key.startswith("truth_")
        }
        for name, gathered in measures.items()
    }


def interval(samples):
    """Gives the 95% interval of bootstrap samples, by their percentiles, as a list of low and high."""
    return [float(end) for end in np.percentile(samples, [2.5, 97.5])]


def compare(measures, results, damages):
    """Finds how sure the figures are, what the model gains over doing nothing, and what damages take from it.

    Args:
        measures: `Measures` by row, and by damage.
        results: their results, by row and by damage.
        damages: names of the damages.

    Returns:
        Tuple of `intervals`, `gains` and `damage`, as `Evaluation` holds them.
    """
    samples = bootstrap(measures)
    rows = [name for name in measures if name not in damages]
    intervals = {name: {key: interval(values) for key, values in samples[name].items()} for name in rows}
    gains = {rival: _differences(MODEL, rival, BETTER, samples, results) for rival in rows if rival != MODEL}
    damage = {}
    for name in damages:
        loss = _differences(MODEL, name, ("auc", "auc_balanced"), samples, results)
        for key, entry in loss.items():
            gain = gains[GRAY][key]["mean"]
            entry["share_of_gain"] = entry["mean"] / gain if gain > 0 else None
        damage[name] = {
            "figures": {key: value for key, value in results[name].items() if not key.startswith("truth_")},
            "intervals": {key: interval(values) for key, values in samples[name].items()},
            "loss": loss,
        }
    return intervals, gains, damage


def _differences(one, other, keys, samples, results):
    return {
        key: {
            "mean": results[one][key] - results[other][key],
            "interval": interval(samples[one][key] - samples[other][key]),
        }
        for key in keys
        if key in samples[one] and key in samples[other]
    }


def surely_better(key, gain):
    """Says whether a gain is on the better side with all of its interval."""
    return min(end * BETTER[key] for end in gain["interval"]) > 0


def with_interval(form, value, bounds):
    """Writes a number, and its interval in brackets."""
    low, high = (form.format(end) for end in bounds)
    return f"{form.format(value)} ({low} to {high})"


def verdict(evaluation):
    """Says in plain words what the model is worth: whether it beats the three ways of doing nothing.

    It counts as better where the 95% interval of its lead lies above nothing, against each of the rows.

    Args:
        evaluation: `Evaluation`.

    Returns:
        A few sentences.
    """
    won, lost = [], []
    for key, heading, form in _CONTESTS:
        rivals = {name: figures[key] for name, figures in evaluation.rows.items() if name != MODEL}
        best = max(rivals, key=rivals.get)
        text = f"{heading} {form.format(evaluation.rows[MODEL][key])} ({best}: {form.format(rivals[best])})"
        sure = all(surely_better(key, evaluation.gains[rival][key]) for rival in rivals)
        (won if sure else lost).append(text)
    count = evaluation.protocol["photos"]
    on = f"On {count} photos" if count > 1 else "On a single photo"
    if not lost:
        first = f"{on} the model is better than doing nothing in every measure: {_listed(won)}."
    elif not won:
        first = f"{on} the model is no better than doing nothing: {_listed(lost)}."
    else:
        first = f"{on} the model is better than doing nothing in {_listed(won)}; it is no better in {_listed(lost)}."
    sentences = [first]
    if evaluation.truth["colorfulness"]:
        ratio = evaluation.rows[MODEL]["colorfulness_ratio"]
        sentences.append(f"Its photos are {ratio:.2f} times as colorful as the true ones.")
    if evaluation.damage:
        sentences.append(_of_damages(evaluation.damage))
    warning = diagnose({**evaluation.rows[MODEL], **{f"truth_{k}": v for k, v in evaluation.truth.items()}})
    if warning:
        sentences.append(warning)
    if count < 30:
        sentences.append("So few photos say little; evaluate on 30 or more.")
    return " ".join(sentences)


_CONTESTS = (
    ("auc_balanced", "balanced AuC", "{:.1f} %"),
    ("auc", "AuC", "{:.1f} %"),
    ("psnr", "PSNR", "{:.2f} dB"),
)


def _unusual(settings):
    """Texts of those settings that are not what `Colorizer` does where nobody asks for anything else."""
    usual = dataclasses.asdict(Settings())
    return [f"{name}: {value}" for name, value in settings.items() if name != "temperature" and value != usual[name]]


def _of_damages(damage):
    losses = {name: entry["loss"]["auc_balanced"] for name, entry in damage.items()}
    worst = max(losses, key=lambda name: losses[name]["mean"])
    if losses[worst]["share_of_gain"] is None:
        return "With no gain in balanced AuC over gray, there is none that damage could take."
    return (
        f"Of its gain in balanced AuC over gray, damage takes most where photos are {worst}: "
        f"{losses[worst]['share_of_gain']:.0%}."
    )


def _listed(texts):
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]
