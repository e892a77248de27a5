"""Derive the state of a run that you observe yourself."""

from __future__ import annotations

from galaxy_jobs.domain import (
    GalaxyState,
    InvocationId,
    InvocationReport,
    InvocationState,
    JobDetails,
    JobId,
    JobReport,
    JobState,
    StepReport,
    culprit,
    judge,
)


def main() -> None:
    """Judge a run that Galaxy calls completed."""
    # A state as the HTTP API and the `invocations` view say it.
    print(InvocationState("cancelling").is_terminal)

    # Facts, in Galaxy's own words: it calls this run completed.
    report = InvocationReport(
        invocation_id=InvocationId("f2db41e1fa331b3e"),
        state=GalaxyState.COMPLETED,
        steps=(
            StepReport(index=0, label="reads"),
            StepReport(
                index=1,
                label="align",
                jobs=(JobReport(JobId("a1"), JobState.ERROR, tool="bwa"),),
            ),
            StepReport(
                index=2,
                label="count",
                jobs=(JobReport(JobId("b2"), JobState.BLOCKED, tool="wc"),),
            ),
        ),
    )
    job = culprit(report)
    print(f"ask Galaxy about {job.job_id}" if job else "nothing went wrong")

    # The verdict, with what Galaxy said of that job.
    sighting = judge(report, JobDetails(exit_code=137, stderr="Killed\n"))
    print(sighting.state.value, sighting.progress)
    print(sighting.failure)

    for row in sighting.steps:
        print(f"{row.index} {row.label}: {row.state} {dict(row.jobs)}")


if __name__ == "__main__":
    main()
