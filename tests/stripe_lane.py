"""`make test-stripe`: the suites of the provider and of the saga against Stripe's own test mode.

Exit status: 77 without a key (nothing was tried), 1 when something failed or nothing at all could be tried.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.payments.live import LaneRefused, key

SKIPPED = 77
SUITES = ("tests/payments/test_conformance.py", "tests/payments/test_saga_on_stripe.py")


def main() -> int:
    """Run the lane."""
    try:
        given = key()
    except LaneRefused as error:
        sys.stderr.write(f"✗ {error}\n")
        return 1
    if not given:
        sys.stderr.write(
            "! skipped, no key: nothing was tried against Stripe.\n"
            "  ➜ Set STRIPE_TEST_KEY to a key sk_test_… of Stripe's test mode; tests/payments/live.py says what else.\n"
        )
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-m", "stripe_live", "-q", f"--junitxml={report}", *SUITES]
        status = subprocess.run(command, check=False).returncode
        counts = {name: int(value) for name, value in re.findall(r'\b(tests|skipped)="(\d+)"', report.read_text())}
    if not status and counts["tests"] == counts["skipped"]:
        sys.stderr.write("✗ All was skipped: nothing was tried against Stripe.\n")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
