"""Train a character-level language model with a GRU, on NumPy or CuPy.

python train.py                      two minutes on two cores, on text that comes with Python
python train.py --data book.txt      on any text
python train.py --resume             continue from the checkpoint of an earlier run, bit for bit
python train.py --report seen        also write seen/report.html, a page about the run
python train.py --precision float16  compute in float16; the weights stay in float32
XGRAD_DEVICE=cuda python train.py    on CUDA
"""

from __future__ import annotations

from train_signals import interruption

if __name__ == "__main__":
    interruption.listen()  # before the other imports, which take a second

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

try:
    import matplotlib.figure  # noqa: F401 - so that a run fails now without it, and not at its end
    from tqdm import tqdm
    from train_files import Folder, InUse
    from train_options import arguments, fail
    from train_report import loss_curves, page
    from train_run import Run, different, signature_and_step, smooth
    from train_text import Text, read_text, streams

    import xgrad as xg
except ModuleNotFoundError as missing:
    sys.exit(
        f"{missing.name} is not installed for this Python: run `make train` once, then `. "
        f".venv/bin/activate`, and try again"
    )


class Model(xg.nn.Module):
    """Characters in, logits of the next character out."""

    def __init__(
        self, vocabulary: int, embedding: int, hidden: int, dtype: Any, rng: xg.random.Generator
    ) -> None:
        self.embed = xg.nn.Embedding(vocabulary, embedding, dtype=dtype, rng=rng)
        self.gru = xg.nn.GRU(embedding, hidden, reset="before", dtype=dtype, rng=rng)
        self.read = xg.nn.Linear(hidden, vocabulary, dtype=dtype, rng=rng)

    def __call__(self, characters: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, xg.Tensor]:
        """Map characters (T, B) and a state (B, hidden) to logits (T, B, vocabulary) and the last state."""
        ys, h = self.gru(self.embed(characters), h)
        return self.read(ys), h


def loss(model: Model, window: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, xg.Tensor]:
    """Return the loss in nats per character of a window (T + 1, B), and the state for the next window.

    Each character is predicted from those before it. The model computes in the dtype of the state. The
    weights, their gradients and the loss keep the dtype of the weights.
    """
    logits, h = xg.nn.cast(model, h.dtype)(window[:-1], h)
    return xg.nn.cross_entropy(logits.astype(model.read.weight.dtype), window[1:]), h


# Measuring and sampling


def bits_per_character(model: Model, ids: xg.Tensor, options: argparse.Namespace) -> float | None:
    """Return the loss in bits per character of a text, read as `--streams` streams with separate states.

    Return None if the run has been asked to stop.
    """
    text = streams(ids, max(1, min(options.streams, len(ids) // 100)))
    h = no_state(text.shape[1], model, options.precision)
    total = 0.0
    with xg.no_grad():
        for start in range(0, len(text) - 1, 256):
            if interruption.number:
                return None
            window = text[start : start + 257]
            nats, h = loss(model, window, h)
            total += float(nats) * (len(window) - 1)
    return total / (len(text) - 1) / math.log(2)


def no_state(count: int, model: Model, dtype: Any = None) -> xg.Tensor:
    """Return the initial state of `count` streams, by default in the dtype of the weights."""
    W = model.gru.W_h
    return xg.zeros((count, W.shape[0]), dtype=dtype or W.dtype, device=W.device)


def sample(
    model: Model, text: Text, length: int, temperature: float, rng: xg.random.Generator
) -> Iterator[str]:
    """Draw characters one by one, each from the distribution that the model predicts at that point."""
    h = no_state(1, model)
    i = text.vocabulary.index("\n") if "\n" in text.vocabulary else 0
    for _ in range(length):
        with xg.no_grad():
            logits, h = model(xg.asarray([[i]]), h)
            chances = xg.softmax(logits[0, 0] / temperature).numpy().cumsum()
        i = min(int((chances < rng.random().item() * chances[-1]).sum()), len(chances) - 1)
        yield text.vocabulary[i]


# Training


def compiled_step(optimizer: xg.optim.Optimizer, clip: float) -> Callable[..., Any]:
    """Return a step of training as one compiled program: gradients, clipping and update."""
    gradient = xg.value_and_grad(loss, has_aux=True)

    @xg.compile
    def step(
        model: Model, state: dict[str, Any], window: xg.Tensor, h: xg.Tensor, lr: float
    ) -> tuple[xg.Tensor, xg.Tensor, dict[str, Any]]:
        """Change the model; return the loss, the state for the next window, and the optimiser's state."""
        (nats, h), grads = gradient(model, window, h)
        grads, _ = xg.optim.clip_by_global_norm(grads, clip)
        updates, state = optimizer.update(grads, state, lr=lr)
        optimizer.apply(updates, model)
        return nats.detach(), h.detach(), state

    return step


def train(run: Run, text: Text, options: argparse.Namespace, folder: Folder) -> int:
    """Train by truncated backpropagation through time; return the last step that was saved.

    The model reads one window of the streams after another, and carries the state from each to the next.
    """
    data = streams(text.train_ids, options.batch)
    windows = (len(data) - 1) // options.window

    def scaled(
        model: Model, window: xg.Tensor, h: xg.Tensor
    ) -> tuple[xg.Tensor, tuple[xg.Tensor, xg.Tensor]]:
        nats, h = loss(model, window, h)
        return run.scale.scale(nats) if run.scale else nats, (nats, h)

    gradient = xg.value_and_grad(scaled, has_aux=True)

    step = compiled_step(run.optimizer, options.clip)
    characters = options.window * options.batch
    quiet = options.quiet or not sys.stderr.isatty()  # a progress bar would only fill a log file
    began, first, saved = time.perf_counter(), run.step, run.step
    with tqdm(
        total=options.steps, initial=run.step, unit="step", dynamic_ncols=True, smoothing=0.05, disable=quiet
    ) as bar:
        while not interruption.number:
            if is_due(run, options):
                held_out = bits_per_character(run.model, text.held_out_ids, options)
                if held_out is None:
                    break
                stop_unless_finite(held_out, run, options)
                run.validation.append((run.step, held_out))
                save(run, folder, saved)
                saved = run.step
                speed = (run.step - first) * characters / (time.perf_counter() - began)
                say(
                    f"step {run.step:>6}: {held_out:.3f} bits/char held out, "
                    f"{smooth(run.curve):.3f} in training, {speed:,.0f} characters/s"
                )
            if run.step == options.steps or interruption.number:
                break
            place = run.step % windows
            if place == 0:  # the streams begin again
                run.h = no_state(options.batch, run.model, options.precision)
            window = data[place * options.window : (place + 1) * options.window + 1]
            rate = learning_rate(run.step, options)
            if run.scale:  # whether the step is taken depends on its gradients
                run.optimizer.lr = rate
                (_, (nats, run.h)), grads = gradient(run.model, window, run.h)
                bits = float(nats) / math.log(2)
                stop_unless_finite(bits, run, options)
                grads, _ = xg.optim.clip_by_global_norm(run.scale.unscale(grads), options.clip)
                run.scale.step(run.optimizer, grads)
            else:
                nats, run.h, run.optimizer.state = step(run.model, run.optimizer.state, window, run.h, rate)
                bits = float(nats) / math.log(2)
                stop_unless_finite(bits, run, options)
            run.step += 1
            run.curve.append(bits)
            speed = (run.step - first) * characters / (time.perf_counter() - began)
            bar.set_postfix_str(
                f"{smooth(run.curve):.3f} bits/char, {speed / 1000:.1f}k char/s", refresh=False
            )
            bar.update()
    return saved


def is_due(run: Run, options: argparse.Namespace) -> bool:
    """Say whether validation is due at this step, and was not already done before the run was resumed."""
    due = run.step % options.validate_every == 0 or run.step == options.steps
    return due and run.step > 0 and (not run.validation or run.validation[-1][0] < run.step)


def save(run: Run, folder: Folder, saved: int) -> None:
    """Write the checkpoint, or exit with a message that says what is lost."""
    try:
        if not folder.still_there():
            say(
                f"{folder.path} was deleted or moved during the run; it is created again, with a checkpoint "
                f"of step {run.step}"
            )
        run.save(folder.checkpoint)
    except (InUse, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        since = f"the training after step {saved}" if saved else "the training so far"
        fail(f"cannot write {folder.checkpoint}: {reason}; {since} is lost, up to step {run.step}")


def stop_unless_finite(bits: float, run: Run, options: argparse.Namespace) -> None:
    """Exit if the loss is not finite or far too large, before a checkpoint is overwritten."""
    if not bits < 100:
        loss = f"the loss is {bits:.3g} bits per character at step {run.step}"
        fail(
            f"{loss}; try a smaller --lr than {options.lr} (the last checkpoint, if there is one, is "
            f"unchanged)"
        )


def stop_early(run: Run, folder: Folder, saved: int, earlier: bool) -> NoReturn:
    """Save the steps taken and exit after a signal.

    If the checkpoint is from an `earlier` run, and this run has not saved one yet, it stays as it is.
    """
    at = f"stopped at step {run.step} of {run.steps}"
    if run.step == 0 or (earlier and not saved):
        kept = f"; {folder.checkpoint} is from an earlier run, and unchanged" if earlier else ""
        interruption.end(f"{at}, before the first checkpoint{kept}")
    if run.step > saved:
        if not xg.optim.all_finite(run.model):
            kept = f"the checkpoint of step {saved} is unchanged" if saved else "there is no checkpoint"
            fail(f"{at}, as the weights are not finite: {kept}; try a smaller --lr")
        save(run, folder, saved)
    interruption.end(
        f"{at}, which is saved in {folder.checkpoint}; to continue, run again with the same options and "
        f"--resume"
    )


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Return the learning rate: a cosine decay from `--lr` to a twentieth of it, after a short warm-up."""
    climb = min(1.0, (step + 1) / 50)
    return float(options.lr * climb * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / options.steps))))


def draw(run: Run, compressed: dict[str, float], folder: Folder) -> None:
    """Plot the training curve and the compressors' results to a PNG file."""
    with folder.whole(folder.curve) as path:
        path.write_bytes(loss_curves(run, compressed).png())


# The command


def say(line: str) -> None:
    """Print a line immediately, above the progress bar if there is one; exit if writing fails."""
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # discards the rest of the buffer
        fail(f"cannot write to standard output: {error.strerror}")


def check_sizes(text: Text, options: argparse.Namespace, device: xg.backends.Device) -> None:
    """Exit if the text is too short for the options, or the memory is too small."""
    if len(text.train_ids) < options.batch * (options.window + 1) or len(text.held_out) < 2:
        need = max(math.ceil(options.batch * (options.window + 1) / 0.9), 20)
        have = len(text.characters)
        fail(
            f"the text has {have:,} characters, but {options.batch} streams of one window need {need:,}; use "
            f"a smaller --batch or --window"
        )
    V, E, H = len(text.vocabulary), options.embedding, options.hidden
    weights = V * E + 3 * H * (H + E + 1) + V * (H + 1)
    size = 8 if options.dtype == "float64" else 4
    # weights, gradients, and Adam's two moments
    need, have = size * (4 * weights + options.window * options.batch * (H + V)), device.memory()["total"]
    if need > have:
        fail(
            f"this run needs at least {need / 1e9:,.0f} GB of memory, but {device} has {have / 1e9:,.0f} GB; "
            f"use a smaller --hidden, --batch or --window"
        )


def look_before_overwriting(run: Run, folder: Folder, options: argparse.Namespace) -> bool:
    """Say whether this new run will overwrite a checkpoint; exit if that is from another configuration."""
    if options.overwrite or not folder.checkpoint.exists():
        return False
    ways = "choose another folder with --out, or pass --overwrite to lose that checkpoint"
    try:
        signature, step = signature_and_step(folder.checkpoint)
    except (ValueError, OSError) as error:
        fail(f"{error}; it would be overwritten: {ways}")
    other = different(signature, run.signature)
    if other:
        fail(f"{folder.checkpoint} would be overwritten: {other}; {ways}")
    say(
        f"{folder.checkpoint} is at step {step} of the same run, which now starts again: the first new "
        f"checkpoint will overwrite it"
    )
    say(
        "  to continue from it instead, stop this run and use --resume; to keep it, choose another folder "
        "with --out"
    )
    return True


def begin(text: Text, options: argparse.Namespace) -> Run:
    """Create a run at its first step."""
    rng = xg.random.default_rng(options.seed)
    model = Model(len(text.vocabulary), options.embedding, options.hidden, options.dtype, rng)
    names = ("hidden", "embedding", "batch", "window", "steps", "lr", "clip", "seed", "dtype", "precision")
    signature = {"text": text.digest, **{name: getattr(options, name) for name in names}}
    scale = xg.optim.LossScale() if options.precision == "float16" else None
    return Run(
        model,
        xg.optim.Adam(model),
        no_state(options.batch, model, options.precision),
        rng,
        signature,
        options.steps,
        scale,
    )


def resume(run: Run, folder: Folder) -> None:
    """Continue from the checkpoint, or exit with an error."""
    try:
        run.load(folder.checkpoint)
    except FileNotFoundError as error:
        fail(f"{error}; train without --resume first, or choose the folder with --out")
    except (ValueError, OSError) as error:
        fail(f"cannot resume: {error}")


def main(argv: list[str] | None = None) -> None:
    """Read the options and the text, train, and report the results."""
    options = arguments(__doc__, argv)
    try:
        if options.device:
            xg.set_device(options.device)
        device = xg.current_device()
    except xg.DeviceError as error:
        fail(str(error))
    text = Text(read_text(options.data))
    check_sizes(text, options, device)
    run = begin(text, options)
    folder = Folder(options.out)
    folders = [folder]
    if options.report and Path(options.report).resolve() != folder.path.resolve():
        folders.append(Folder(options.report, "--report"))

    def leave() -> None:
        for each in reversed(folders):
            each.leave()

    interruption.clean = leave
    at = folder
    try:
        with ExitStack() as stack:
            for at in folders:
                stack.enter_context(at)
            at = folder
            use(folder, run, text, options, device, folders[-1] if options.report else None)
    except InUse as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write to {at.path}: {error.strerror or error}")


def use(
    folder: Folder,
    run: Run,
    text: Text,
    options: argparse.Namespace,
    device: xg.backends.Device,
    pages: Folder | None,
) -> None:
    """Train and report inside the locked folder of the run; `pages` is that of the page, if there is one."""
    if pages and pages.report.exists() and not options.overwrite:
        fail(
            f"{pages.report} would be overwritten: choose another folder with --report, or pass --overwrite "
            f"to lose that report"
        )
    if options.resume:
        resume(run, folder)
    earlier = not options.resume and look_before_overwriting(run, folder, options)
    words = f", arithmetic in {options.precision}" if options.precision else ""
    weights = sum(p.size for p in run.model.parameters())
    say(
        f"{len(text.characters):,} characters, {len(text.vocabulary)} different; {weights:,} "
        f"weights, {options.dtype} on {device}{words}"
    )
    interruption.farewell = "stopped immediately; the training since the last checkpoint is lost"
    with interruption.postponed():
        saved = train(run, text, options, folder)
        if interruption.number:
            stop_early(run, folder, saved, earlier)
    interruption.farewell = (
        f"stopped after the last step, which is saved in {folder.checkpoint}; run again with the same "
        f"options and --resume to draw the curve"
    )
    report(folder, run, text, options, pages)


def report(folder: Folder, run: Run, text: Text, options: argparse.Namespace, pages: Folder | None) -> None:
    """Compare the model with compressors, print a sample, draw the training curve, and write the page."""
    compressed = text.compressed()
    say("\nbits per character of the held-out text")
    for name, bits in {"this model": run.validation[-1][1], **compressed}.items():
        say(f"  {name:<10} {bits:.3f}")
    drawn = ""
    if options.sample:
        rng = xg.random.default_rng(0)
        rng.state = run.rng.state  # a copy, so that a checkpoint written later has the same state
        drawn = "".join(
            c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}"
            for c in sample(run.model, text, options.sample, options.temperature, rng)
        )
        say(f"\n{drawn}\n")
    if not folder.has_checkpoint():
        save(run, folder, 0)
    try:
        draw(run, compressed, folder)
    except OSError as error:
        fail(f"cannot write {folder.curve}: {error.strerror or error}")
    say(f"wrote {folder.checkpoint} and {folder.curve}")
    if pages:
        write_page(pages, run, text, options, compressed, drawn)


def write_page(
    pages: Folder,
    run: Run,
    text: Text,
    options: argparse.Namespace,
    compressed: dict[str, float],
    drawn: str,
) -> None:
    """Write the page of --report, with the gradients of the model as it began and as it is."""
    shown = {name: value for name, value in vars(options).items() if not isinstance(value, bool | None)}
    first = begin(text, options).model
    said = page(run, first, loss, text, shown, compressed, drawn)
    try:
        pages.still_there()
        with pages.whole(pages.report) as path:
            path.write_text(said, encoding="utf-8")
    except (InUse, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        fail(f"cannot write {pages.report}: {reason}")
    say(f"wrote {pages.report}")


def command() -> None:
    """Run `main`, reporting system errors in one line."""
    nothing = open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stdout, sys.stderr = sys.stdout or nothing, sys.stderr or nothing  # None in a daemon
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # for a sample that the terminal cannot show
    warnings.simplefilter("ignore", RuntimeWarning)  # overflow: a loss that is not finite ends the run
    try:
        main()
    except MemoryError:
        fail("out of memory; use a smaller --hidden, --batch or --window")
    except ImportError as error:  # for example, bfloat16 needs another package
        fail(str(error))
    finally:
        interruption.ignore()  # nothing left to stop


if __name__ == "__main__":
    command()
