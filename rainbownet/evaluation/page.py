"""The report as a page: tables, protocol and pictures in one HTML file that needs nothing else, no script either.

It reads on a phone: tables scroll sideways, and three pictures of a photo share its width.
"""

import base64
import io
from html import escape
from pathlib import Path

from PIL import Image

from rainbownet.data.files import NAME_ENCODING, write_atomically
from rainbownet.evaluation.results import BETTER, DAMAGE_KEYS, MODEL, surely_better, verdict, with_interval

_WIDTH = 320  # pixels of a picture, at most: a third of a page at twice the resolution of old screens

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: #197a3b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --good: #6fce8d; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; position: sticky; left: 0; background: Canvas; }
thead th { white-space: normal; vertical-align: bottom; }
.range { display: block; font-size: .8em; font-weight: normal; opacity: .75; }
.better { color: var(--good); } .worse { color: var(--bad); }
.bar { display: inline-block; height: .7em; background: var(--bad); margin-right: .4em; vertical-align: baseline; }
figure { margin: 0 0 1.5rem; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: .3rem; }
.pictures div { font-size: .8rem; text-align: center; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1rem 2rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); gap: .8rem; }
.grid .pictures { grid-template-columns: 1fr 1fr; }
img { width: 100%; height: auto; display: block; }
"""

_MEANINGS = (
    ("PSNR", "distance of RGB values from the true photo, in dB, more is nearer; dull colours do well in it"),
    ("SSIM", "likeness of structure in RGB, 1 for equal photos; a gray photo is near 1 already"),
    ("AuC", "share of pixels whose ab lies within t of the truth, the mean over t = 0..150 (Zhang et al. 2016)"),
    ("balanced AuC", "the same with every colour counting alike: rare vivid ones weigh as much as dull ones"),
    ("ab distance, CIEDE2000", "how far colours are from the true ones, in Lab and to the eye; less is nearer"),
    ("LPIPS", "distance as a trained network sees it; less is nearer"),
    ("accuracy, top-5", "share of pixels in the true colour bucket; of places whose true bucket is among five named"),
    ("colorfulness, vividness", "Hasler and Suesstrunk's, and over the truth's: 1 is as vivid as the truth"),
    ("chroma, cast, nearly gray, hues", "mean strength of colours; how much of it is one tint; share of pixels without "
     "colour; part of the colour circle in use"),
    ("FID", "distance between all predictions and all true photos as a trained network sees them; needs thousands"),
)  # fmt: skip


def write_page(evaluation, path):
    """Writes the page.

    Args:
        evaluation: `Evaluation`; with `examples`, the page shows them.
        path: file to write.
    """
    model = escape(evaluation.protocol["model"])
    parts = [
        f"<h1>How well {model} colours photos</h1>",
        f"<p>{escape(verdict(evaluation))}</p>",
        "<h2>Figures</h2>",
        "<p>Beside the model stand three ways of doing nothing: leaving the photo gray, giving every pixel the best "
        "single colour, and taking the colours of another photo. Below each figure its 95&nbsp;% interval.</p>",
        _figures(evaluation),
        "<h2>More than doing nothing</h2>",
        "<p>What the model has more than each, over the same photos. <span class=better>Green</span>: better beyond "
        "doubt; <span class=worse>red</span>: worse beyond doubt.</p>",
        _gains(evaluation),
    ]
    if evaluation.damage:
        parts += [
            "<h2>Damaged photos</h2>",
            "<p>The same photos, each damaged in one way. The network sees the damaged photo; its colours are measured "
            "against those of the undamaged one, on its luminance. The loss is that of balanced AuC, beside it as a "
            "part of the model's gain over gray.</p>",
            _damage(evaluation),
        ]
    for kind, text in _KINDS.items():
        chosen = [example for example in evaluation.examples if example.kind == kind]
        if chosen:
            parts += [f"<h2>{kind.capitalize()} photos</h2>", f"<p>{text}</p>", "<div class=photos>"]
            parts += [_photo(example) for example in chosen]
            parts.append("</div>")
            parts += [_damaged(example) for example in chosen if example.damaged]
    parts += ["<h2>Protocol</h2>", f"<p>{escape(evaluation.protocol_line())}</p>", _meanings(evaluation)]
    if evaluation.skipped:
        entries = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in evaluation.skipped)
        parts.append(f"<h2>Skipped</h2><ul>{entries}</ul>")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{model}: evaluation</title>\n<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )
    with write_atomically(Path(path)) as temporary:
        Path(temporary).write_text(page, **NAME_ENCODING)


_KINDS = {
    "best": "Nearest to the truth by CIEDE2000, compared with how near the gray photo is.",
    "median": "Those in the middle: what to expect.",
    "worst": "Farthest from the truth, compared with the gray photo.",
}


def _figures(evaluation):
    ways = {**evaluation.rows, "the truth": evaluation.truth}
    rows = []
    for heading, key, form in evaluation.columns():
        cells = []
        for name, figures in ways.items():
            text = form.format(figures[key]) if key in figures else ""
            if key in evaluation.intervals.get(name, ()):
                low, high = (form.format(end) for end in evaluation.intervals[name][key])
                text += f"<span class=range>{low} to {high}</span>"
            cells.append(f"<b>{text}</b>" if name == MODEL else text)
        rows.append((heading, cells))
    return _table(ways, rows)


def _gains(evaluation):
    rows = []
    for heading, key, form in evaluation.columns():
        if key in BETTER:
            cells = []
            for gains in evaluation.gains.values():
                if key not in gains:
                    cells.append("")
                    continue
                gain = gains[key]
                worse = {**gain, "interval": [-end for end in gain["interval"]]}
                kind = "better" if surely_better(key, gain) else "worse" if surely_better(key, worse) else ""
                value, low, high = (form.replace("{:", "{:+").format(x) for x in (gain["mean"], *gain["interval"]))
                cells.append(f'<span class="{kind}">{value}</span><span class=range>{low} to {high}</span>')
            rows.append((heading, cells))
    return _table([f"over {rival}" for rival in evaluation.gains], rows)


def _damage(evaluation):
    columns = [column for column in evaluation.columns() if column[1] in DAMAGE_KEYS]
    rows = [("undamaged", [form.format(evaluation.rows[MODEL][key]) for _, key, form in columns] + ["", ""])]
    for name, entry in evaluation.damage.items():
        loss = entry["loss"]["auc_balanced"]
        share = loss["share_of_gain"]
        width = 0 if share is None else 5 * min(max(share, 0), 1)
        part = "no gain" if share is None else f'<span class=bar style="width:{width:.2f}em"></span>{share:.0%}'
        cells = [form.format(entry["figures"][key]) for _, key, form in columns]
        rows.append((name, [*cells, with_interval("{:.1f}", loss["mean"], loss["interval"]), part]))
    return _table([*(heading for heading, _, _ in columns), "loss", "of the gain"], rows)


def _table(headings, rows):
    head = "".join(f"<th>{escape(heading)}</th>" for heading in ["", *headings])
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, cells in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _photo(example):
    figures = example.figures
    of_gray = figures["ciede2000"] + example.gain
    about = (
        f"{escape(example.name)}: CIEDE2000 {figures['ciede2000']:.1f} (gray {of_gray:.1f}), "
        f"AuC {figures['auc']:.1f}&nbsp;%, {figures['colorfulness_ratio']:.2f} times as vivid as the truth"
    )
    return f"<figure>{_pictures(example.pictures)}<figcaption>{about}</figcaption></figure>"


def _damaged(example):
    pairs = "".join(
        f"<figure>{_pictures([('', broken), ('', colored)])}<figcaption>{escape(name)}</figcaption></figure>"
        for name, broken, colored in example.damaged
    )
    return (
        f"<h3>{escape(example.name)}, damaged</h3><p>Left what the network sees, right the colours that it predicts "
        f"from that, on the undamaged luminance.</p><div class=grid>{pairs}</div>"
    )


def _pictures(pictures):
    cells = "".join(
        f'<div><img src="data:image/jpeg;base64,{_jpeg(rgb)}" alt="{caption}">{caption}</div>'
        for caption, rgb in pictures
    )
    return f"<div class=pictures>{cells}</div>"


def _jpeg(rgb):
    image = Image.fromarray(rgb)
    image.thumbnail((_WIDTH, 2 * _WIDTH), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()


def _meanings(evaluation):
    present = " ".join(heading for heading, _, _ in evaluation.columns())
    entries = "".join(
        f"<li><b>{name}</b>: {meaning}.</li>" for name, meaning in _MEANINGS if name.split()[0].rstrip(",") in present
    )
    return f"<ul>{entries}</ul>"
