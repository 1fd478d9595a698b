"""``python -m bridge.cli.reference``: whether the generated passages are what the code says now; exit code 1 when not."""

from __future__ import annotations

import sys

from bridge.cli.reference import check_docs

stale = check_docs()
for file in stale:
    sys.stderr.write(f"{file} is stale: run `make docs`\n")
raise SystemExit(1 if stale else 0)
