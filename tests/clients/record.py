"""A plugin of pytest that writes the result of each case at once, so that a run may be broken off.

Its file, whose path is in the variable CLIENT_RECORD, gets a line of JSON for each event: a case
that began, its result, and a file that could not be collected.
"""

import json
import os


def _write(case, result):
    with open(os.environ["CLIENT_RECORD"], "a", encoding="utf-8") as file:
        file.write(json.dumps([case, result]) + "\n")


def pytest_runtest_logstart(nodeid, location):
    """Stands for "not run" until there is a result: the run may be broken off here."""
    _write(nodeid, "not run")


def pytest_runtest_logreport(report):
    """The call is the result; what fails before or after it fails the case."""
    if report.failed:
        _write(report.nodeid, "failed")
    elif report.when == "call" and report.passed:
        _write(report.nodeid, "passed")


def pytest_collectreport(report):
    """A file that cannot be imported has no cases: it is kept apart from those that fail."""
    if report.failed:
        _write(report.nodeid, "not collected")
