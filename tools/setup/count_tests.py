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
        status, reason = case.get("status", ""), case.find("skipped")
        # "Not run" is a test's own wish (SKIP_...), or a program that is not there.
        wished = reason is not None and reason.get("message", "").startswith("SKIP_")
        if status == "disabled" or wished:
            skipped += 1
        elif status == "run" and case.find("failure") is None and case.find("error") is None:
            passed += 1
        else:
            failed += 1
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
