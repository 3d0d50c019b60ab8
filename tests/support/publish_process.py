"""A job of a matrix, as a process of its own: stores its part and publishes. Arguments: cache, model, how many jobs."""

from __future__ import annotations

import os
import sys
import threading

from pipeline.hosts.publishing import publish_run
from pipeline.publish.details import Details
from pipeline.publish.job_report import Status
from pipeline.settings import settings_from_mapping
from tests.support.reports import job_report, report_of


def main() -> int:
    """Publish so many jobs of one model."""
    cache, model, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = settings_from_mapping(os.environ, cache=cache, only=f"{model}/*", publish_required=True)
    report = report_of(*(job_report(f"{model}/sm_{80 + n}/fp16", Status.BUILT, "new") for n in range(jobs)))
    return publish_run(settings, threading.Event(), report, Details())


if __name__ == "__main__":
    sys.exit(main())
