"""Alerts of validation: false alarms and faults found: ``python -m tests.benchmarks.validation [--refits]``.

``--folder DIR`` reads every CIF below a folder instead and prints the alerts A of each: for structures that no limit
was set with, such as those of Debian's libavogadro-data.

Prints the alerts that published structures raise, how many of the faults put into each are told by their code, and,
with ``--refits``, the same of models that were refined on with the fault against their real data.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from tasks.refine.alerts.validate import alerts_of
from tests.synthetic.published_models import PUBLISHED, published_subject, subject_of_file
from tests.synthetic.real_data import real_data
from tests.synthetic.refined_examples import Example, refined_example
from tests.synthetic.refit_faults import REFIT_FAULTS, refitted
from tests.synthetic.seeded_faults import FAULTS

NAMES = (*PUBLISHED, "tyrosine")


def published_rows(folder: Path) -> None:
    """Print the alerts of each published structure."""
    print(f"{'published':24s} {'A':>3s} {'B':>3s} {'C':>3s}  codes of A; of B")
    for name in NAMES:
        alerts = alerts_of(published_subject(name, folder))
        count = Counter(alert.level for alert in alerts)
        codes = [", ".join(alert.code for alert in alerts if alert.level == level) or "-" for level in "AB"]
        print(f"{name:24s} {count['A']:3d} {count['B']:3d} {count['C']:3d}  {'; '.join(codes)}")


def folder_rows(folder: Path) -> None:
    """Print the alerts A of every structure below a folder, up to 120 atoms and 6000 A^3, and how many there are."""
    structures, alarmed = 0, 0
    for path in sorted(folder.rglob("*.cif")):
        try:
            subject = subject_of_file(path)
        except (ValueError, RuntimeError) as error:
            print(f"{path.name}: not read: {str(error)[:80]}")
            continue
        if not 0 < len(subject.draft.atoms) <= 120 or subject.draft.unit_cell.volume_angstrom3 > 6000:
            continue
        structures += 1
        worst = [f"{alert.code} {alert.text[:100]}" for alert in alerts_of(subject) if alert.level == "A"]
        alarmed += bool(worst)
        if worst:
            print(f"{path.name}: {'; '.join(worst)}")
    print(f"{alarmed} of {structures} structures have an alert A")


def fault_rows(folder: Path) -> None:
    """Print in how many of the published structures each fault is told."""
    print(f"\n{'fault':26s} {'told':>7s}  levels; missed in")
    for fault, seed in FAULTS.items():
        names = [name for name in NAMES if name not in seed.not_of]
        levels, missed = Counter[str](), []
        for name in names:
            subject = published_subject(name, folder)
            before = {(alert.code, alert.text) for alert in alerts_of(subject)}
            told = [
                alert.level
                for alert in alerts_of(seed.spoil(subject))
                if alert.code in seed.codes and (alert.code, alert.text) not in before
            ]
            levels.update(sorted(told)[:1])
            missed += [] if told else [name]
        found = ", ".join(f"{levels[level]} {level}" for level in "ABC" if levels[level])
        print(f"{fault:26s} {len(names) - len(missed):3d}/{len(names):<3d}  {found}; {', '.join(missed) or '-'}")


def refit_rows(folder: Path) -> None:
    """Print what a model with a fault raises after it was refined on."""
    print(f"\n{'refined with':28s} {'of':12s} {'R1':>6s} {'was':>6s}  new alerts A and B")
    examples: dict[str, Example] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for title, fault in REFIT_FAULTS.items():
            if fault.name not in examples:
                examples[fault.name] = refined_example(fault.name, folder, Path(scratch))
            example = examples[fault.name]
            fit, alerts = refitted(example, fault.change, Path(scratch))
            before = {(alert.code, alert.level) for alert in example.refinement.alerts}
            new = sorted({f"{a.level} {a.code}" for a in alerts if (a.code, a.level) not in before and a.level != "C"})
            was = example.refinement.r1
            print(f"{title:28s} {fault.name:12s} {fit.r1:6.3f} {was:6.3f}  {', '.join(new) or '-'}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refits", action="store_true", help="refine models with faults against their data, too")
    parser.add_argument("--folder", type=Path, help="CIFs to read instead")
    chosen = parser.parse_args()
    if chosen.folder is not None:
        folder_rows(chosen.folder)
        return
    folder = real_data()
    published_rows(folder)
    fault_rows(folder)
    if chosen.refits:
        refit_rows(folder)


if __name__ == "__main__":
    main()
