"""Train a character-level language model: a GRU written as equations, on NumPy or CuPy unchanged.

    python train.py                      two minutes on two cores, on text that comes with Python
    python train.py --data book.txt      on any text
    python train.py --resume             go on from the checkpoint of an earlier run, bit for bit
    python train.py --precision float16  compute in float16; the weights stay in float32
    XGRAD_DEVICE=cuda python train.py    on CUDA
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import hashlib
import json
import lzma
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

try:
    import matplotlib
    from tqdm import tqdm

    import xgrad as xg
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed for this Python: run `make train` once, then `. .venv/bin/activate`, and try again")

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class Model(xg.nn.Module):
    """Characters in, logits of the next character out."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, dtype: Any, rng: xg.random.Generator) -> None:
        self.embed = xg.nn.Embedding(vocabulary, embedding, dtype=dtype, rng=rng)
        self.gru = xg.nn.GRU(embedding, hidden, reset="before", dtype=dtype, rng=rng)
        self.read = xg.nn.Linear(hidden, vocabulary, dtype=dtype, rng=rng)

    def __call__(self, characters: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, xg.Tensor]:
        """Logits (T, B, vocabulary) and the state after the last step, from characters (T, B) and a state (B, hidden)."""
        ys, h = self.gru(self.embed(characters), h)
        return self.read(ys), h


def loss(model: Model, window: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, xg.Tensor]:
    """Nats per character of a window (T + 1, B), each character predicted from those before it; and the state to carry on.

    The model computes in the dtype of the state; its weights, and so their gradients, and the loss keep theirs.
    """
    logits, h = xg.nn.cast(model, h.dtype)(window[:-1], h)
    return xg.nn.cross_entropy(logits.astype(model.read.weight.dtype), window[1:]), h


# The text


@dataclass
class Text:
    """A text as numbers, its last tenth held out."""

    characters: str
    vocabulary: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.vocabulary = sorted(set(self.characters))
        number = {c: i for i, c in enumerate(self.vocabulary)}
        cut = len(self.characters) - len(self.characters) // 10
        self.held_out = self.characters[cut:]
        self.train_ids = xg.asarray([number[c] for c in self.characters[:cut]])
        self.held_out_ids = xg.asarray([number[c] for c in self.held_out])

    @property
    def digest(self) -> str:
        """What tells this text from another."""
        return hashlib.sha256(self.characters.encode()).hexdigest()[:16]

    def compressed(self) -> dict[str, float]:
        """Bits per character that each compressor needs for the held-out text."""
        raw = self.held_out.encode()
        packed = {"gzip": gzip.compress(raw, 9), "bz2": bz2.compress(raw, 9), "xz": lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)}
        return {name: 8 * len(p) / len(self.held_out) for name, p in packed.items()}


def read_text(path: str | None) -> str:
    """The text of a file, or the reference pages that come with Python."""
    if path is None:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            fail("this Python comes without pydoc_data.topics, the default text; give one with --data FILE")
        return "\n".join(topics[name] for name in sorted(topics))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        fail(f"{path} is not text in UTF-8")
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
    if not text.strip():
        fail(f"{path} is empty")
    if "\0" in text:
        fail(f"{path} is not text: it contains zero bytes")
    return text


def streams(ids: xg.Tensor, count: int) -> xg.Tensor:
    """The text cut into `count` streams that are read side by side: (characters in each, count)."""
    length = len(ids) // count
    return xg.reshape(ids[: length * count], (count, length)).T


# Measuring and sampling


def bits_per_character(model: Model, ids: xg.Tensor, options: argparse.Namespace) -> float:
    """Of text that the model reads from its beginning, as `--streams` streams, each with a state of its own."""
    text = streams(ids, max(1, min(options.streams, len(ids) // 100)))
    h = no_state(text.shape[1], model, options.precision)
    total = 0.0
    with xg.no_grad():
        for start in range(0, len(text) - 1, 256):
            window = text[start : start + 257]
            nats, h = loss(model, window, h)
            total += float(nats) * (len(window) - 1)
    return total / (len(text) - 1) / math.log(2)


def no_state(count: int, model: Model, dtype: Any = None) -> xg.Tensor:
    """The state of `count` streams that have read nothing yet, in the dtype of the weights if no other is given."""
    W = model.gru.W_h
    return xg.zeros((count, W.shape[0]), dtype=dtype or W.dtype, device=W.device)


def sample(model: Model, text: Text, length: int, temperature: float, rng: xg.random.Generator) -> Iterator[str]:
    """Characters drawn one after the other, each from the model's distribution after those before it."""
    h = no_state(1, model)
    i = text.vocabulary.index("\n") if "\n" in text.vocabulary else 0
    for _ in range(length):
        with xg.no_grad():
            logits, h = model(xg.asarray([[i]]), h)
            chances = xg.softmax(logits[0, 0] / temperature).numpy().cumsum()
        i = min(int((chances < rng.random().item() * chances[-1]).sum()), len(chances) - 1)
        yield text.vocabulary[i]


# Training


@dataclass
class Run:
    """Everything that a checkpoint must hold for training to go on as if it had not stopped."""

    model: Model
    optimizer: xg.optim.Adam
    h: xg.Tensor
    rng: xg.random.Generator
    signature: dict[str, Any]
    scale: xg.optim.LossScale | None = None
    step: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it all, whole or not at all."""
        tensors = {"h": self.h}
        tensors |= {f"model.{name}": p for name, p in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": p for name, p in self.optimizer.state_dict().items()}
        tensors |= {f"scale.{name}": v for name, v in (self.scale.state_dict() if self.scale else {}).items()}
        words = {"step": self.step, "curve": self.curve, "validation": self.validation, "rng": self.rng.state, "signature": self.signature}
        xg.io.save(path, tensors, {name: json.dumps(value) for name, value in words.items()})

    def load(self, path: Path) -> None:
        """Go back to where `save` was called. Exits where the file is broken, or of another model or text."""
        try:
            tensors, words = xg.io.load(path)
            saved = {name: json.loads(value) for name, value in words.items()}
            other = {k: v for k, v in saved["signature"].items() if self.signature.get(k) != v}
            if other:
                mine = {k: self.signature.get(k) for k in other}
                fail(f"{path} is of another model or text, or another schedule: it has {other}, this run has {mine}")
            self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
            self.optimizer.load_state_dict({k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")})
            if self.scale:
                self.scale.load_state_dict({k.removeprefix("scale."): v for k, v in tensors.items() if k.startswith("scale.")})
            self.h, self.rng.state, self.step = tensors["h"], saved["rng"], saved["step"]
            self.curve, self.validation = saved["curve"], saved["validation"]
        except FileNotFoundError as error:
            fail(f"{error}; train without --resume first, or name the folder with --out")
        except KeyError as error:
            fail(f"cannot resume: {path} is no checkpoint of train.py; it has no {error}")
        except (ValueError, TypeError) as error:
            fail(f"cannot resume: {error}")


def train(run: Run, text: Text, options: argparse.Namespace, checkpoint: Path) -> None:
    """Truncated backpropagation through time: windows of the streams in turn, the state carried from one to the next."""
    data = streams(text.train_ids, options.batch)
    windows = (len(data) - 1) // options.window

    def scaled(model: Model, window: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, tuple[xg.Tensor, xg.Tensor]]:
        nats, h = loss(model, window, h)
        return run.scale.scale(nats) if run.scale else nats, (nats, h)

    gradient = xg.value_and_grad(scaled, has_aux=True)
    characters = options.window * options.batch
    bar = tqdm(total=options.steps, initial=run.step, unit="step", dynamic_ncols=True, smoothing=0.05, disable=options.quiet)
    began, first = time.perf_counter(), run.step
    with bar:
        while run.step < options.steps:
            place = run.step % windows
            if place == 0:  # the streams begin again
                run.h = no_state(options.batch, run.model, options.precision)
            window = data[place * options.window : (place + 1) * options.window + 1]
            (_, (nats, run.h)), grads = gradient(run.model, window, run.h)
            bits = float(nats) / math.log(2)
            stop_unless_finite(bits, run, options)
            grads, _ = xg.optim.clip_by_global_norm(run.scale.unscale(grads) if run.scale else grads, options.clip)
            run.optimizer.lr = learning_rate(run.step, options)
            if run.scale:
                run.scale.step(run.optimizer, grads)
            else:
                run.optimizer.step(grads)
            run.step += 1
            run.curve.append((run.step, bits))
            speed = (run.step - first) * characters / (time.perf_counter() - began)
            bar.set_postfix_str(f"{smooth(run.curve):.3f} bits/char, {speed / 1000:.1f}k char/s", refresh=False)
            bar.update()
            if run.step % options.validate_every == 0 or run.step == options.steps:
                held_out = bits_per_character(run.model, text.held_out_ids, options)
                stop_unless_finite(held_out, run, options)
                run.validation.append((run.step, held_out))
                tqdm.write(f"step {run.step:>6}: {held_out:.3f} bits/char held out, {smooth(run.curve):.3f} in training, {speed:,.0f} characters/s")
                try:
                    run.save(checkpoint)
                except OSError as error:
                    fail(f"cannot write {checkpoint}: {error.strerror or error}")


def stop_unless_finite(bits: float, run: Run, options: argparse.Namespace) -> None:
    """End a run that has gone wrong before it overwrites a checkpoint."""
    if not bits < 100:
        loss = f"the loss is {bits:.3g} bits per character at step {run.step}"
        fail(f"{loss}; try a smaller --lr than {options.lr} (the last checkpoint, if there is one, is as it was)")


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """From `--lr` down to a twentieth of it along half a cosine, after a short climb."""
    climb = min(1.0, (step + 1) / 50)
    return float(options.lr * climb * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / options.steps))))


def smooth(curve: list[tuple[int, float]]) -> float:
    """Mean of the last values."""
    last = curve[-50:]
    return sum(bits for _, bits in last) / len(last)


def draw(run: Run, compressed: dict[str, float], path: Path) -> None:
    """The course of training as a picture."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    steps, bits = zip(*run.curve, strict=True)
    axes.plot(steps, bits, color="0.75", linewidth=0.8, label="training, each window")
    axes.plot(*zip(*run.validation, strict=True), "o-", color="C0", markersize=4, label="held out")
    for i, (name, value) in enumerate(compressed.items()):
        axes.axhline(value, color=f"C{i + 1}", linestyle="--", linewidth=1, label=name)
    axes.set(xlabel="step", ylabel="bits per character", ylim=(0, min(8, max(bits) + 0.1)), title="GRU character model")
    axes.legend()
    beside = path.with_name(f".{path.name}")
    figure.savefig(beside, dpi=120, format="png")
    beside.replace(path)
    plt.close(figure)


# The command


def fail(message: str) -> NoReturn:
    """End with one line instead of a stack trace."""
    sys.exit(f"train.py: {message}")


def positive(kind: type) -> Any:
    """An argument that must be a number above 0."""

    def parse(word: str) -> Any:
        value = kind(word)
        if not value > 0 or value == math.inf:
            raise argparse.ArgumentTypeError(f"{word} is not above 0")
        return value

    parse.__name__ = kind.__name__
    return parse


def seed(word: str) -> int:
    """A whole number from 0 on."""
    if int(word) < 0:
        raise argparse.ArgumentTypeError(f"{word} is below 0")
    return int(word)


def temperature(word: str) -> float:
    """A number that logits can be divided by."""
    value = float(positive(float)(word))
    if value < 1e-3:
        raise argparse.ArgumentTypeError(f"{word} is below 0.001")
    return value


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=100)
    )
    add, whole, real = parser.add_argument, positive(int), positive(float)
    add("--data", metavar="FILE", help="text to learn, UTF-8 (default: the reference pages that come with Python)")
    add("--out", metavar="FOLDER", default="runs", help="where the checkpoint and the curve go (default: %(default)s)")
    add("--resume", action="store_true", help="go on from the checkpoint in the --out folder")
    add("--steps", type=whole, default=1000, metavar="N", help="windows to learn from (default: %(default)s)")
    add("--hidden", type=whole, default=256, metavar="N", help="size of the GRU's state (default: %(default)s)")
    add("--embedding", type=whole, default=64, metavar="N", help="size of a character's vector (default: %(default)s)")
    add("--batch", type=whole, default=32, metavar="N", help="streams read side by side (default: %(default)s)")
    add("--window", type=whole, default=64, metavar="N", help="characters through which gradients flow back (default: %(default)s)")
    add("--lr", type=real, default=5e-3, metavar="X", help="Adam's learning rate at the start (default: %(default)s)")
    add("--clip", type=real, default=1.0, metavar="X", help="greatest norm of the gradient (default: %(default)s)")
    add("--validate-every", type=whole, default=200, metavar="N", help="steps between looks at the held-out text (default: %(default)s)")
    add("--streams", type=whole, default=16, metavar="N", help="streams that the held-out text is read as (default: %(default)s)")
    add("--sample", type=int, default=300, metavar="N", help="characters to write at the end (default: %(default)s)")
    add("--temperature", type=temperature, default=0.7, metavar="X", help="of the sample: lower is safer (default: %(default)s)")
    add("--seed", type=seed, default=0, metavar="N", help="the same seed gives the same run (default: %(default)s)")
    add("--dtype", choices=["float32", "float64"], default="float32", help="of the weights (default: %(default)s)")
    add("--precision", choices=["float32", "bfloat16", "float16"], help="of the arithmetic, if not that of the weights")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:N or auto (default: XGRAD_DEVICE, else cpu)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Read, train, measure, write."""
    options = arguments(argv)
    try:
        if options.device:
            xg.set_device(options.device)
        device = xg.current_device()
    except xg.DeviceError as error:
        fail(str(error))
    text = Text(read_text(options.data))
    if len(text.train_ids) < options.batch * (options.window + 1) or len(text.held_out) < 2:
        need = max(math.ceil(options.batch * (options.window + 1) / 0.9), 20)
        have = len(text.characters)
        fail(f"the text has {have:,} characters, {options.batch} streams of one window need {need:,}; use a smaller --batch or --window")
    checkpoint = Path(options.out, "checkpoint.safetensors")
    try:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=checkpoint.parent):
            pass
    except OSError as error:
        fail(f"cannot write to {options.out}: {error.strerror}")

    rng = xg.random.default_rng(options.seed)
    model = Model(len(text.vocabulary), options.embedding, options.hidden, options.dtype, rng)
    names = ("hidden", "embedding", "batch", "window", "steps", "lr", "clip", "seed", "dtype", "precision")
    signature = {"text": text.digest, **{name: getattr(options, name) for name in names}}
    scale = xg.optim.LossScale() if options.precision == "float16" else None
    run = Run(model, xg.optim.Adam(model), no_state(options.batch, model, options.precision), rng, signature, scale)
    if options.resume:
        run.load(checkpoint)
    words = f", computed with in {options.precision}" if options.precision else ""
    weights = sum(p.size for p in model.parameters())
    print(f"{len(text.characters):,} characters, {len(text.vocabulary)} different; {weights:,} weights, {options.dtype} on {device}{words}")
    try:
        train(run, text, options, checkpoint)
    except KeyboardInterrupt:
        saved = f"the last checkpoint is {checkpoint}, go on from it with --resume" if checkpoint.exists() else "before the first checkpoint"
        fail(f"stopped at step {run.step}; {saved}")

    compressed = text.compressed()
    held_out = run.validation[-1][1]
    print("\nbits per character of the held-out text")
    for name, bits in {"this model": held_out, **compressed}.items():
        print(f"  {name:<10} {bits:.3f}")
    if options.sample > 0:
        print("\n" + "".join(sample(model, text, options.sample, options.temperature, rng)) + "\n")
    draw(run, compressed, Path(options.out, "curve.png"))
    print(f"wrote {checkpoint} and {Path(options.out, 'curve.png')}")


if __name__ == "__main__":
    main()
