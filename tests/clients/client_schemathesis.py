"""schemathesis makes requests of openapi.json, right ones and wrong ones, to every
operation: no 5xx, no status, type or shape of an answer that is not described.

SCHEMATHESIS_EXAMPLES: how many for each operation in the fuzzing phase (40).
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

import searchd

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "40")
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_headers_conformance", "response_schema_conformance")


class Schemathesis(searchd.Served, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(6)
        cls.shop.copy("exif.jpg")
        cls.serve()

    def test_nothing_is_undeclared(self):
        program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
        with tempfile.TemporaryDirectory() as folder:  # it leaves a database where it runs
            run = subprocess.run(
                [program, "--no-color", "run", os.path.join(searchd.SOURCE, "searchd", "openapi.json"),
                 "--url", self.daemon.url,
                 "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
                 "--max-examples", EXAMPLES, "--seed", "1", "--continue-on-failure",
                 "--warnings", "off",
                 "--suppress-health-check", "all", "--request-timeout", "60"],
                cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout[-12000:])
        self.assertIsNone(self.daemon.process.poll())
        operations = re.search(r"Operations:\s+(\d+) selected / (\d+) total", run.stdout)
        self.assertIsNotNone(operations, run.stdout[-3000:])
        self.assertEqual(operations.group(1), str(len(searchd.DESCRIPTION.operations())))


if __name__ == "__main__":
    unittest.main(verbosity=2)
