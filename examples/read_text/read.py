"""Lines of text as pictures, and how well the recognizer reads them.

python read.py          # copy the model out of the installed package
python read.py FILE     # let the model in FILE read forty lines
"""

from __future__ import annotations

import random
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
PACKAGE, FILE = "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"
WORDS = """
The quick brown fox jumps over a lazy dog while seven wizards quietly boxed up jade sphinxes
INVOICE TOTAL DATE 2024 17 305 42.50 No. 8 Street Berlin Lima Kyoto open closed exit push pull
"""
HEIGHT, WIDTH = 48, 320


def text(draw: random.Random) -> str:
    """Two or three words."""
    return " ".join(draw.sample(WORDS.split(), draw.choice((2, 3))))


def picture(words: str, draw: random.Random) -> npt.NDArray[np.float32]:
    """(3, 48, 320) from -1 to 1: dark on light with a little noise, as wide as it is, the rest zero."""
    font = ImageFont.load_default(size=draw.choice((24, 28, 32)))
    paper = Image.new("RGB", (WIDTH * 2, HEIGHT), (draw.randrange(200, 256),) * 3)
    pen = ImageDraw.Draw(paper)
    pen.text((6, 6), words, fill=(draw.randrange(0, 90),) * 3, font=font)
    right = int(pen.textlength(words, font=font)) + 14
    line = paper.crop((0, 0, right, HEIGHT)).resize((min(right, WIDTH), HEIGHT))
    pixels = np.asarray(line, np.float32).transpose(2, 0, 1) / 127.5 - 1
    noise = np.random.default_rng(draw.randrange(2**32)).normal(0, 0.03, pixels.shape)
    padded = np.zeros((3, HEIGHT, WIDTH), np.float32)
    padded[:, :, : pixels.shape[2]] = np.clip(pixels + noise, -1, 1)
    return padded


def fetch() -> None:
    """Copy the model out of the package that carries it."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        sys.exit(f"{PACKAGE} is not installed: pip install rapidocr-onnxruntime")
    shutil.copyfile(Path(found.origin).parent / FILE, HERE / "recognizer.onnx")


def read(file: Path, lines: int = 40) -> float:
    """Tell what the model reads; the share of lines that it reads without a fault, blanks aside."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    letters = ["", *session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    draw, right = random.Random(1), 0
    for number in range(lines):
        words = text(draw)
        scores = session.run(None, {"x": picture(words, draw)[None]})[0][0]
        best = scores.argmax(1)
        kept = [b for b, before in zip(best, [-1, *best[:-1]], strict=True) if b and b != before]
        told = "".join(letters[b] for b in kept)
        right += told.replace(" ", "") == words.replace(" ", "")
        if number < 3:
            print(f"{words!r} is read as {told!r}")
    print(f"{right} of {lines} lines right")
    return right / lines


if __name__ == "__main__":
    read(Path(sys.argv[1])) if len(sys.argv) > 1 else fetch()
