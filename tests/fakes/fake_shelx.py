#!/usr/bin/env python3
"""Stands in for SHELXT, SHELXS, SHELXD and SHELXL: checks job.ins and job.hkl, then replays files of a real run.

Called by its name (a link). FAKE_REPLAY: folder with job* files to copy. FAKE_MODE: good, expired, silent, unread,
killed, half (the result is cut off). The .lxt is synthetic after the columns of SHELXT 2018/2.
"""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

program = Path(sys.argv[0]).name
mode = os.environ.get("FAKE_MODE", "good")
if mode == "silent":
    sys.exit(0)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "expired":
    print(" ** This version of SHELX has expired **")
    sys.exit(1)
if mode == "unread":
    print(" ** Cannot open file job.hkl **")
    sys.exit(0)

job = sys.argv[-1]
instructions = Path(f"{job}.ins").read_text().upper()
joined = re.sub(r"=\s*\n\s+", " ", instructions)
for needed in ("TITL", "CELL", "ZERR", "LATT", "SFAC", "UNIT", "HKLF 4", "END"):
    if needed not in instructions:
        print(f" ** {needed} missing **")
        sys.exit(0)
for line in joined.splitlines():
    if (
        line.startswith("SFAC")
        and len(line.split()) > 2
        and line.split()[2][0] in "-.0123456789"
        and len(line.split()) != 16
    ):
        print(" ** Bad SFAC instruction **")
        sys.exit(0)
if max(map(len, instructions.splitlines())) > 80:
    print(" ** Line too long **")
    sys.exit(0)
for line in Path(f"{job}.hkl").read_text().splitlines()[:-1]:
    [int(line[i : i + 4]) for i in (0, 4, 8)] + [float(line[12:20]), float(line[20:28])]

for path in Path(os.environ["FAKE_REPLAY"]).glob("job*"):
    shutil.copyfile(path, path.name)
if mode == "half":
    for path in Path().glob("job*.res"):
        path.write_text(path.read_text()[:150])
if program == "shelxt":
    Path(f"{job}.lxt").write_text(
        " +  SHELXT  -  CRYSTAL STRUCTURE SOLUTION - VERSION 2018/2            +\n\n"
        "   R1  Rweak Alpha SysAbs  Orientation      Space group  Flack_x  File  Formula\n"
        " 0.185 0.084 0.010 0.00      as input       P2(1)2(1)2(1)    -9.99   job_a  C12 O\n\n"
        " Assign elements and isotropic refinement     0.100 secs\n"
    )
