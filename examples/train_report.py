"""The report of a run: one HTML page with its options, curves, gradients, activations, sample and cell."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from train_run import Run
from train_text import Text, streams

import xgrad as xg

#: The longest way back through time, the number of streams, and the length of the text that are shown.
STEPS, STREAMS, CHARACTERS = 64, 8, 70

STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --faint: #5c656f; --page: #ffffff; --line: #d8dde3; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --faint: #a0a9b3; --page: #14171a; --line: #353b42; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 auto;
       max-width: 62rem; padding: 1rem 1.2rem 3rem; }
h1 { font-size: 1.6rem; margin: 0.6rem 0 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.4rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.3rem; }
p { margin: 0.4rem 0; }
.faint { color: var(--faint); }
figure { margin: 0.6rem 0; overflow-x: auto; background: #ffffff; border: 1px solid var(--line);
         border-radius: 6px; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figure.large { max-height: 80vh; overflow: auto; background: none; }
figure.large img { max-width: none; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.88rem; border: 1px solid var(--line);
      border-radius: 6px; padding: 0.7rem; margin: 0.5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { padding: 0.15rem 1.2rem 0.15rem 0; border-bottom: 1px solid var(--line); }
"""


def loss_curves(run: Run, compressed: dict[str, float]) -> xg.viz.Curves:
    """Plot the losses in training and on the held-out text, beside what compressors need."""
    smoothing = max(1, min(50, run.step // 20))
    return xg.viz.curves(
        run.curve, run.validation, smoothing=smoothing, lines=compressed, ylabel="bits per character"
    )


def page(
    run: Run,
    first: Any,
    loss: Callable[..., Any],
    text: Text,
    options: dict[str, Any],
    compressed: dict[str, float],
    sample: str,
) -> str:
    """Return the page, which needs no other file and no network.

    `first` is the model before training, and `loss` maps a model, characters (T + 1, B) and states (B, H) to
    a pair of a scalar and something else.
    """
    bits = {"this model": run.validation[-1][1], **compressed}
    parts = [
        f"<h1>GRU character model, {run.h.shape[1]} units</h1>",
        f'<p class="faint">{run.step:,} steps on a text of {len(text.characters):,} characters</p>',
        "<h2>Loss</h2>",
        figure(loss_curves(run, compressed), "loss by training step"),
        "<h2>Bits per character of the held-out text</h2>",
        table({name: f"{value:.3f}" for name, value in bits.items()}),
        *gradients(run, first, loss, text),
        *gates(run, text),
    ]
    if sample:
        parts += ["<h2>Sample</h2>", f"<pre>{escape(sample)}</pre>"]
    parts += [*cell(run, text), "<h2>Options</h2>", table(options)]
    parts += ["<h2>Machine</h2>", f"<pre>{escape(machine())}</pre>"]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>GRU character model, step {run.step}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def gradients(run: Run, first: Any, loss: Callable[..., Any], text: Text) -> Iterator[str]:
    """Show how far back gradients flow, before training and after it, on the same windows of text."""
    steps = min(run.signature["window"], STEPS)
    count = min(STREAMS, len(text.train_ids) // (steps + 1))
    windows = streams(text.train_ids, count)[: steps + 1]
    h = no_state(run, count)
    yield "<h2>Gradients through time</h2>"
    yield (
        "<p>On the left, the norm of the gradient of the loss with respect to the state after each step. On "
        "the right, the gradient of each weight in parts: part k was carried back k time steps. Where the "
        f"curves fall fast, the model learns little about what is far back. {count} windows of {steps} "
        f"characters, arithmetic in {h.dtype}.</p>"
    )
    for model, when in ((first, "before training"), (run.model, "after training")):
        flow = xg.viz.gradient_flow(loss, model, windows, h, has_aux=True, lags=steps)
        yield f"<h3>{when.capitalize()}</h3>"
        yield figure(flow, f"gradients of states and weights {when}")


def gates(run: Run, text: Text) -> Iterator[str]:
    """Show the gates while the model reads the beginning of the held-out text."""
    read = text.held_out[:CHARACTERS]
    characters = xg.reshape(text.held_out_ids[: len(read)], (len(read), 1))
    names = ["z_t", "r_t", "h_tilde"]
    h = no_state(run, 1)
    seen = xg.viz.activations(run.model, characters, h, names=names, labels=list(read))
    yield "<h2>Gates</h2>"
    yield (
        "<p>Each row is one unit, each column one character of held-out text. Where z_t is near 1 (yellow), "
        "the unit replaces its state by h_tilde; where it is near 0 (dark), it keeps it. Where r_t is near "
        "0, h_tilde does not depend on the old state.</p>"
    )
    yield figure(seen, f"z_t, r_t and h_tilde while reading {read!r}")


def cell(run: Run, text: Text) -> Iterator[str]:
    """Show the picture of one time step, after some text, or say what it needs."""
    characters = xg.reshape(text.held_out_ids[:CHARACTERS], (-1, 1))
    with xg.no_grad():
        xs = run.model.embed(characters)
        _, h = run.model.gru(xs[:-1], no_state(run, 1))

    def step(gru: xg.nn.GRU, x: xg.Tensor, h: xg.Tensor) -> xg.Tensor:
        return gru(x, h)[1]

    yield "<h2>One time step</h2>"
    try:
        svg = xg.draw(step, run.model.gru, xs[-1:], h, open=["t = 0"]).svg()
    except ImportError as error:
        yield f'<p class="faint">There is no picture: {escape(str(error))}</p>'
        return
    yield (
        f"<p>The equations of the GRU on character {len(xs)} of the held-out text. Above, in green, values; "
        f"below, in red, gradients of the sum of the new state. Scroll to see all of it.</p>"
    )
    yield f'<figure class="large">{image(svg.encode(), "svg+xml", "the GRU as a graph of gates")}</figure>'


def no_state(run: Run, count: int) -> xg.Tensor:
    """Return the initial state of `count` streams, in the dtype of the weights."""
    return xg.zeros((count, run.h.shape[1]), dtype=run.model.gru.W_h.dtype, device=run.h.device)


def machine() -> str:
    """Return the versions and the hardware, without the speed that `xg.info` measures."""
    kept = ("versions", "device", "processor", "cores", "BLAS")
    return "\n".join(line for line in str(xg.info()).splitlines() if line.startswith(kept))


def figure(plot: Any, words: str) -> str:
    """Return a plot as part of the page."""
    return f"<figure>{image(plot.png(dpi=130), 'png', words)}</figure>"


def image(content: bytes, kind: str, words: str) -> str:
    """Return an image inside of the page, with words for those who do not see it."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(words)}" src="data:image/{kind};base64,{data}">'


def table(rows: dict[str, Any]) -> str:
    """Return names and values as a table."""
    cells = (f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"
