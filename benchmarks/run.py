"""Run the benchmarks, each in a process of its own: ``make bench``. Every one prints a ratio to something we did not write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run all, or those whose path holds a word given on the command line."""
    words = sys.argv[1:]
    code = 0
    for path in sorted(HERE.glob("*/*.py")):
        name = str(path.relative_to(HERE))
        if words and not any(word in name for word in words):
            continue
        print(f"── {name}", flush=True)
        code |= subprocess.run([sys.executable, str(path)], check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
