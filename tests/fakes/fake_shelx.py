#!/usr/bin/env python3
"""Stands in for SHELXT, SHELXS, SHELXD and SHELXL: checks job.ins and job.hkl, then replays files.

Called by its name (a link). FAKE_REPLAY: folder with job* files to copy. FAKE_MODE: good, expired, silent, unread,
killed, hang, half (what it writes is cut off), complains (exit code 1 after good output), locale (decimal commas unless
LC_ALL is C), commas (decimal commas whatever the locale). The .lxt is synthetic after the columns of SHELXT 2018/2.
"""

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

program = Path(sys.argv[0]).name
mode = os.environ.get("FAKE_MODE", "good")
if mode == "silent":
    sys.exit(0)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "hang":
    time.sleep(600)
if mode == "expired":
    print(" ** This version of SHELX has expired **")
    sys.exit(1)
if mode == "unread":
    print(" ** Cannot open file job.hkl **")
    sys.exit(0)

job = sys.argv[-1]
instructions = Path(f"{job}.ins").read_text().upper()
joined = re.sub(r"=\s*\n\s+", " ", instructions)


def refuse(why):
    print(f" ** {why} **")
    sys.exit(0)


NEEDED = {
    "shelxt": ["TREF"],
    "shelxs": ["TREF"],
    "shelxd": ["FIND", "PLOP", "NTRY", "SEED"],
    "shelxl": ["L.S.", "FVAR", "WGHT", "ACTA"],
}
words = [line.split()[0] for line in joined.splitlines() if line.strip()]
for needed in ["TITL", "CELL", "ZERR", "LATT", "SFAC", "UNIT", *NEEDED[program], "HKLF", "END"]:
    if needed not in words:
        refuse(f"{needed} missing")
for line in joined.splitlines():
    part = line.split()
    if part[:1] == ["SFAC"] and len(part) > 2 and part[2][0] in "-.0123456789" and len(part) != 16:
        refuse("Bad SFAC instruction")
    if part[:1] == ["AFIX"] and int(part[1]) not in {0, 13, 23, 33, 43, 83, 93, 163}:
        refuse("Bad AFIX")
opened = [line.split()[1] == "0" for line in joined.splitlines() if line.startswith("AFIX")]
if opened != [False, True] * (len(opened) // 2):
    refuse("AFIX not closed")
names = re.findall(r"^([A-Z][A-Z0-9]*) +\d+ +-?\d*\.\d+ +-?\d*\.\d+", joined.split("END")[0], re.MULTILINE)
if len(set(names)) != len(names) or max(map(len, names), default=0) > 4:
    refuse("Bad atom names")
if max(map(len, instructions.splitlines())) > 80:
    refuse("Line too long")
for line in Path(f"{job}.hkl").read_text().splitlines()[:-1]:
    [int(line[i : i + 4]) for i in (0, 4, 8)] + [float(line[12:20]), float(line[20:28])]

for path in Path(os.environ["FAKE_REPLAY"]).glob("job*"):
    shutil.copyfile(path, path.name)
if program == "shelxt":
    Path(f"{job}.lxt").write_text(
        " +  SHELXT  -  CRYSTAL STRUCTURE SOLUTION - VERSION 2018/2            +\n\n"
        "   R1  Rweak Alpha SysAbs  Orientation      Space group  Flack_x  File  Formula\n"
        " 0.185 0.084 0.010 0.00      as input       P2(1)2(1)2(1)    -9.99   job_a  C12 O\n\n"
        " Assign elements and isotropic refinement     0.100 secs\n"
    )
written = [path for path in Path().glob("job*") if path.suffix in {".res", ".lst", ".cif", ".fcf"}]
if mode == "half":
    for path in written:
        path.write_text(path.read_text(errors="replace")[:150])
if mode == "commas" or (mode == "locale" and os.environ.get("LC_ALL") != "C"):
    for path in written:
        path.write_text(re.sub(r"(\d)\.(\d)", r"\1,\2", path.read_text(errors="replace")))
if mode == "complains":
    print(" ** Warning: something is odd **")
    sys.exit(1)
