#!/usr/bin/env python3
"""Prints what ctest's JUnit reports add up to, "N passed, N failed" in one line.

Exits with 1 if a test failed, if none ran, or if a report is missing or broken.
"""

import sys
import xml.etree.ElementTree as ET


def count(path):
    """(passed, failed, skipped) of one report."""
    passed = failed = skipped = 0
    for case in ET.parse(path).getroot().iter("testcase"):
        status = case.get("status", "")
        if case.find("failure") is not None or case.find("error") is not None or status == "fail":
            failed += 1
        elif case.find("skipped") is not None or status in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main(paths):
    totals, broken = [0, 0, 0], False
    for path in paths:
        try:
            totals = [a + b for a, b in zip(totals, count(path))]
        except (OSError, ET.ParseError) as e:
            print("no test report %s: %s" % (path, e), file=sys.stderr)
            broken = True
    passed, failed, skipped = totals
    print("%d passed, %d failed%s" % (passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed or broken or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
