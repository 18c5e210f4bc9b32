#!/usr/bin/env python3
"""Stands in for XDS: checks XDS.INP as a picky program would, then replays the listings of a real run.

FAKE_REPLAY: folder of the real run. FAKE_MODE: good, expired, silent, killed, hang, few (a synthetic IDXREF.LP in which
too few spots are indexed), half (CORRECT's files are cut off), nodata (no XDS_ASCII.HKL), second (the second pass
fails), complains (exit code 1 after good output), locale (decimal commas unless LC_ALL is C). With the axis turned
round, IDXREF.LP is synthetic too: a third of the spots.
"""

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

mode = os.environ.get("FAKE_MODE", "good")
replay = Path(os.environ["FAKE_REPLAY"])
if mode == "expired":
    print(" !!! ERROR !!! THIS VERSION OF XDS HAS EXPIRED")
    sys.exit(0)
if mode == "silent":
    sys.exit(0)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "hang":
    time.sleep(600)

text = Path("XDS.INP").read_text()
words = {}
for line in text.splitlines():
    for name, value in re.findall(r"([A-Z][-A-Z_'.()]*(?:\(\w+\))?)=\s*([^=]*?)(?=\s+[A-Z][-A-Z_'.()]*=|$)", line):
        words.setdefault(name, []).append(value.strip())


def refuse(why):
    Path("XYCORR.LP").write_text(f" !!! ERROR !!! {why}\n")
    print(f" !!! ERROR !!! {why}")
    sys.exit(0)


NEEDED = """
JOB NAME_TEMPLATE_OF_DATA_FRAMES DATA_RANGE NX NY QX QY ORGX ORGY DETECTOR_DISTANCE X-RAY_WAVELENGTH ROTATION_AXIS
OSCILLATION_RANGE STARTING_ANGLE OVERLOAD INCIDENT_BEAM_DIRECTION DETECTOR
"""
for needed in NEEDED.split():
    if needed not in words:
        refuse(f"CANNOT FIND THE KEYWORD {needed}")
template = words["NAME_TEMPLATE_OF_DATA_FRAMES"][0].split()[0]
first, last = map(int, words["DATA_RANGE"][0].split())
excluded = [tuple(map(int, r.split())) for r in words.get("EXCLUDE_DATA_RANGE", [])]
marks = re.search(r"\?+", template)
for number in range(first, last + 1):
    name = template[: marks.start()] + f"{number:0{len(marks.group())}d}" + template[marks.end() :]
    if not Path(name).is_file() and not any(a <= number <= b for a, b in excluded):
        refuse(f"CANNOT OPEN OR READ FILE {name}")
if not 0.01 < float(words["X-RAY_WAVELENGTH"][0]) < 0.05:
    refuse("CANNOT READ THE WAVELENGTH")

axis = float(words["ROTATION_AXIS"][0].split()[0])
for step in words["JOB"][0].split():
    listing = (replay / f"{step}.LP").read_text(errors="replace")
    if step == "IDXREF" and (axis < 0 or mode == "few"):
        listing = re.sub(r"40[23] OUT OF", "130 OUT OF", listing)
        listing = re.sub(r"(SPINDLE POSITION \(DEGREES\)\s+)[\d.]+", r"\g<1>2.90", listing)
        listing += "\n !!! ERROR !!! INSUFFICIENT PERCENTAGE (< 50%) OF INDEXED REFLECTIONS\n"
    if mode == "second" and step == "INTEGRATE" and "REFLECTING_RANGE_E.S.D." in words:
        listing = " !!! ERROR !!! INSUFFICIENT NUMBER OF STRONG REFLECTIONS\n"
    if mode == "half" and step == "CORRECT":
        listing = listing[: len(listing) // 2]
    if mode == "locale" and os.environ.get("LC_ALL") != "C":
        listing = re.sub(r"(\d)\.(\d)", r"\1,\2", listing)
    Path(f"{step}.LP").write_text(listing)
    made = {
        "INIT": ["BKGINIT.cbf"],
        "COLSPOT": ["SPOT.XDS"],
        "IDXREF": ["XPARM.XDS"],
        "CORRECT": ["GXPARM.XDS", "XDS_ASCII.HKL"],
    }
    for name in made.get(step, []):
        if mode == "nodata" and name == "XDS_ASCII.HKL":
            continue
        shutil.copyfile(replay / name, name)
        if mode == "cut" and name == "XDS_ASCII.HKL":
            text = Path(name).read_text()
            Path(name).write_text(text[: len(text) // 2])
sys.exit(mode == "complains")
