"""The cinchonine frames in every format that can be written: pixels, cell, indexed spots, and what reading costs.

python -m tests.benchmarks.frame_formats [--shared DIR] [--first N] [--reading-only] [FORMAT ...]

Every format is written by a library, or by its published layout where no library writes it; read as a run reads it;
and timed against the bare library that would read it, in the same process, by turns, the best of each.
"""

import argparse
import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import fabio
import h5py
import mrcfile
import numpy as np
import tifffile

from adapters.formats.frame_reader import FrameFileReader
from tasks.frames.models import FrameSeries
from tasks.frames.settings import FrameSettings
from tasks.frames.task import read_rotation
from tasks.ingest.source import read_source
from tasks.integrate.geometry.mapping import geometry_of
from tasks.integrate.indexing.lattice_score import cell_parameters
from tasks.integrate.indexing.lattice_search import solve_lattice
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.images import load_images, search_spots, with_poisson_noise
from tests.synthetic.camera_files import write_mib, write_ser, write_tvips, write_velox
from tests.synthetic.cinchonine_manifest import MANIFEST
from tests.synthetic.dm4 import write_dm4
from tests.synthetic.hyperspy_signals import hyperspy_signal
from tests.synthetic.nexus_master import write_master
from tests.synthetic.real_data import real_data

TURNS = (3, 9)
"""Least and most; between them as many as take `TURNS_S`."""
TURNS_S = 10.0
Frames = np.ndarray
"""(n, slow, fast), uint16."""


class Written(NamedTuple):
    """How a format is written into a folder, under which glob it is read, and how a bare library reads one file."""

    write: Callable[[Path, Frames], object]
    files: str
    bare: Callable[[Path], np.ndarray]


def each(frames: Frames, suffix: str, write: Callable[[Path, np.ndarray], object], folder: Path) -> None:
    for number, frame in enumerate(frames, start=1):
        write(folder / f"f_{number:05d}.{suffix}", frame)


def tiffs(**options: object) -> Written:
    return Written(
        lambda folder, frames: each(frames, "tif", lambda path, one: tifffile.imwrite(path, one, **options), folder),
        "*.tif", tifffile.imread,
    )  # fmt: skip


def smv(path: Path, frame: np.ndarray) -> None:
    words = (
        f"{{\nHEADER_BYTES=  512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1={frame.shape[1]};\n"
        f"SIZE2={frame.shape[0]};\nPIXEL_SIZE=0.055;\nDISTANCE=436.1;\n}}\n"
    )
    path.write_bytes(words.encode().ljust(512) + frame.astype("<u2").tobytes())


def mrc(path: Path, frames: Frames) -> None:
    with mrcfile.new(path) as file:
        file.set_data(frames)
        file.set_image_stack()


def mrc_bare(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.asarray(file.data)


def master_bare(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        data = file["entry/data"]
        return np.concatenate([data[name][()] for name in sorted(data)])


def velox_bare(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        (image,) = file["Data/Image"].values()
        return np.moveaxis(image["Data"][()], -1, 0)


def raw24(folder: Path, frames: Frames) -> None:
    blocks = []
    for frame in frames[:, ::-1].astype(np.uint32):
        halves = np.stack([frame >> 12, frame & 0xFFF]).astype(">u2")
        blocks.append(np.ascontiguousarray(halves.reshape(-1, 4)[:, ::-1]).tobytes())
    shape = frames.shape[1:]
    write_mib(folder / "a.mib", blocks, columns=2 * shape[1], rows=shape[0], kind="R64", depth=24)


def mib(folder: Path, frames: Frames) -> None:
    blocks = [frame.tobytes() for frame in frames[:, ::-1].astype(">u2")]
    write_mib(folder / "a.mib", blocks, columns=frames.shape[2], rows=frames.shape[1], kind="U16", depth=12)


def mib_bare(path: Path) -> np.ndarray:
    import rsciio.quantumdetector

    return rsciio.quantumdetector.load_mib_data(str(path))[:, ::-1]


def hyperspy_writer(name: str, file: str) -> Callable[[Path, Frames], None]:
    from importlib import import_module

    def write(folder: Path, frames: Frames) -> None:
        import_module(f"rsciio.{name}").file_writer(str(folder / file), hyperspy_signal(frames, beam_energy=200.0))

    return write


def rosettasciio(name: str) -> Callable[[Path], np.ndarray]:
    from importlib import import_module

    return lambda path: import_module(f"rsciio.{name}").file_reader(str(path))[0]["data"]


def fabio_image(path: Path) -> np.ndarray:
    with fabio.open(path) as image:
        return image.data


def fabio_frames(kind: str, dtype: str) -> Callable[[Path, Frames], None]:
    def write(folder: Path, frames: Frames) -> None:
        module = getattr(fabio, f"{kind}image")
        make = getattr(module, f"{kind.capitalize()}Image")
        each(frames, kind, lambda path, one: make(data=one.astype(dtype), header={}).write(str(path)), folder)

    return write


def bitshuffled(folder: Path, frames: Frames) -> Path:
    return write_master(
        folder / "x_master.h5", frames, images_per_file=100,
        geometry={"pixel_m": 55e-6, "distance_m": 0.4361, "beam_slow": 253.6, "beam_fast": 256.4, "saturation": 65535},
    )  # fmt: skip


FORMATS = {
    "TIFF": tiffs(),
    "TIFF, LZW": tiffs(compression="lzw", predictor=True),
    "TIFF, Zstandard": tiffs(compression="zstd"),
    "TIFF, JPEG 2000 lossless": tiffs(compression="jpeg2000", compressionargs={"level": 0}),
    "TIFF, ImageJ stack": Written(
        lambda folder, frames: tifffile.imwrite(folder / "a.tif", frames, imagej=True), "*.tif", tifffile.imread
    ),
    "MRC": Written(lambda folder, frames: mrc(folder / "a.mrc", frames), "*.mrc", mrc_bare),
    "SMV": Written(lambda folder, frames: each(frames, "img", smv, folder), "*.img", fabio_image),
    "CBF": Written(fabio_frames("cbf", "i4"), "*.cbf", fabio_image),
    "EDF": Written(fabio_frames("edf", "u2"), "*.edf", fabio_image),
    "NXmx, bitshuffle LZ4": Written(bitshuffled, "*.h5", master_bare),
    "MIB, 16 bits": Written(mib, "*.mib", mib_bare),
    "MIB, raw 24 bits": Written(raw24, "*.mib", mib_bare),
    "HyperSpy hspy": Written(hyperspy_writer("hspy", "a.hspy"), "*.hspy", rosettasciio("hspy")),
    "HyperSpy zspy": Written(hyperspy_writer("zspy", "a.zspy"), "*.zspy", rosettasciio("zspy")),
    "TVIPS": Written(
        lambda folder, frames: write_tvips(folder / "a_000.tvips", frames, tilts=np.zeros(len(frames)), parts=2),
        "*.tvips", rosettasciio("tvips"),
    ),
    "SER": Written(lambda folder, frames: write_ser(folder / "a_1.ser", frames), "*.ser", rosettasciio("tia")),
    "Velox EMD": Written(lambda folder, frames: write_velox(folder / "a.emd", frames), "*.emd", velox_bare),
    "DM4": Written(
        lambda folder, frames: write_dm4(folder / "a.dm4", frames), "*.dm4", rosettasciio("digitalmicrograph")
    ),
}  # fmt: skip
NOT_TIMED = {"MIB, raw 24 bits": "no bare library at hand reads it"}


def cinchonine(folder: Path, first: int) -> Frames:
    """Return the first centred frames, (n, 512, 512)."""
    with tarfile.open(folder / "diff_corr_405_tif.tar.xz") as archive:
        held = {
            member.name: tifffile.imread(io.BytesIO(stream.read()))
            for member in archive
            if member.isfile() and (stream := archive.extractfile(member)) is not None
        }
    return np.stack([held[name] for name in sorted(held)[:first]])


@contextmanager
def timed(spent: list[float]) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    spent.append(time.perf_counter() - begin)


def reading_ratio(folder: Path, form: Written, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the seconds of the bare library for all files, and ours over it: the best turns, every pixel touched."""
    paths = [path for _, path in numbered(folder, form.files)]
    bare: list[float] = []
    ours: list[float] = []
    while len(bare) < TURNS[0] or (len(bare) < TURNS[1] and sum(bare) + sum(ours) < TURNS_S):
        each_bare: list[float] = []
        each_ours: list[float] = []
        for path in paths:  # one after the other, so that a busy machine slows both
            with timed(each_bare):
                total = int(form.bare(path).sum(dtype=np.int64))
            with timed(each_ours):
                mine = int(FrameFileReader().read(path, shape=shape).images.sum(dtype=np.int64))
            if mine != total:
                raise SystemExit(f"{path}: the bare library reads other pixels: {total}, ours {mine}")
        bare.append(sum(each_bare))
        ours.append(sum(each_ours))
    return min(bare), min(ours) / min(bare)


def numbered(folder: Path, pattern: str) -> list[tuple[int, Path]]:
    from tasks.ingest.files import numbered_frames

    return numbered_frames(folder, pattern)


def indexed(series: FrameSeries) -> tuple[tuple[float, ...], int, int]:
    """Return the cell, the number of indexed spots, and that of all."""
    settings = IntegrationSettings()
    beam = np.array(series.direct_beam_px)
    images = with_poisson_noise(load_images(series), beam)
    search = search_spots(images, beam, threshold=settings.spot_significance)
    solved = solve_lattice(geometry_of(series), search, len(series.frames), settings)
    total = len(search.spots.frame)
    return cell_parameters(np.linalg.inv(solved.refined.crystal.basis)), round(solved.fraction * total), total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--shared", type=Path, default=real_data())
    parser.add_argument("--first", type=int, default=405)
    parser.add_argument("--reading-only", action="store_true", help="pixels and times, no cell")
    arguments = parser.parse_args()
    frames = cinchonine(arguments.shared.resolve() / "cinchonine", arguments.first)
    print(f"{len(frames)} frames of {frames.shape[1]} x {frames.shape[2]}\n")
    print("| format | bytes | pixels equal | cell | indexed of all spots | bare library, s | ours / bare |")
    print("|---|---|---|---|---|---|---|", flush=True)
    found: dict[str, tuple[tuple[float, ...], int, int]] = {}
    for name in arguments.formats:
        form = FORMATS[name]
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary) / "source"
            source.mkdir()
            form.write(source, frames)
            manifest = {**MANIFEST, "files": form.files}
            (source / "rotation_series.json").write_text(json.dumps(manifest))
            size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
            series = read_rotation(read_source(source), FrameFileReader(), FrameSettings(), Path(temporary) / "frames")
            stored = np.asarray(series.images)
            key = hashlib.sha256(stored.tobytes()).hexdigest()
            if key not in found:
                found[key] = ((), 0, 0) if arguments.reading_only else indexed(series)
            cell, hits, total = found[key]
            if name in NOT_TIMED:
                times = f"- | {NOT_TIMED[name]}"
            else:
                seconds, ratio = reading_ratio(source, form, frames.shape[1:])
                times = f"{seconds:.2f} | {ratio:.2f}"
            lengths = " ".join(f"{value:.5f}" for value in cell)
            equal = "yes" if np.array_equal(stored, frames) else "NO"
            print(f"| {name} | {size} | {equal} | {lengths} | {hits} of {total} | {times} |", flush=True)
    print(f"\n{len(found)} different stack(s) of pixels: equal ones are indexed once")


if __name__ == "__main__":
    main()
