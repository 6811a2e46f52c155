"""Measure and write the baseline anew: `python -m tests.kept_fast [GROUP ...]`.

Groups: imports, zoo, cold, memory, counts; the last one needs valgrind on x86-64. Do so on purpose alone: where
something had to grow, and the commit says why, or where it shrank and shall stay so.
"""

from __future__ import annotations

import argparse

from tests.kept_fast.baseline import GROUPS, load, save
from tests.kept_fast.compare import worse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all of them where none is named")
    baseline = load()
    for group in parser.parse_args().groups or GROUPS:
        found = GROUPS[group]()
        print(f"{group}: {len(found)} figures", *worse(found, baseline.get(group, {})), sep="\n  ")
        baseline[group] = dict(found)
    save(baseline)


if __name__ == "__main__":
    main()
