"""For how long results and jobs are kept after their end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum

from attrs import field, frozen

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import InvocationState


class Kept(Enum):
    """What a rule is about."""

    RESULTS = "results"  #: the histories of jobs that have ended
    INTERMEDIATES = "intermediates"  #: what is no workflow output in them


@frozen(kw_only=True)
class RetentionRule:
    """Which jobs something may be deleted of, and how long after their end.

    Attributes:
        age: The time since the end.
        state: Only jobs that ended like that.
        kept: What may be deleted.
        workflow_names: Only jobs of these workflows; None: of all.
        except_workflows: No jobs of these workflows.
    """

    age: timedelta
    state: InvocationState
    kept: Kept = Kept.RESULTS
    workflow_names: frozenset[str] | None = None
    except_workflows: frozenset[str] = frozenset()


@frozen(kw_only=True)
class RetentionPolicy:
    """For how long things are kept; by default, for ever.

    Attributes:
        results: The time after its end for which the results of a job are kept; None:
            for ever.
        by_state: The same for jobs that ended in one of these states, in the place of
            *results*.
        by_workflow: The same for jobs of these workflows, in the place of both.
        delete_intermediates: Whether datasets that are no workflow outputs are deleted
            once their job has completed.
        jobs: The time after its end for which a job itself is kept; None: for ever.

    Raises:
        InvalidValue: Jobs would be removed before their results.
    """

    results: timedelta | None = None
    by_state: Mapping[InvocationState, timedelta | None] = field(
        factory=dict, hash=False
    )
    by_workflow: Mapping[str, timedelta] = field(factory=dict, hash=False)
    delete_intermediates: bool = False
    jobs: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        ages = [rule.age for rule in self.rules()]
        if self.jobs is not None and max(ages, default=self.jobs) > self.jobs:
            raise InvalidValue(
                f"jobs are kept for {self.jobs.days} days, and results for "
                f"{max(ages).days}: a job must be kept until its results are deleted."
            )

    def rules(self) -> Sequence[RetentionRule]:
        """Return the rules; no job matches two that are about the same."""
        ends = [state for state in InvocationState if state.is_terminal]
        by_age: dict[timedelta, set[str]] = defaultdict(set)
        for name, age in self.by_workflow.items():
            by_age[age].add(name)
        rules = [
            RetentionRule(age=age, state=state, workflow_names=frozenset(names))
            for age, names in by_age.items()
            for state in ends
        ]
        for state in ends:
            kept_for = self.by_state.get(state, self.results)
            if kept_for is not None:
                named = frozenset(self.by_workflow)
                rules.append(
                    RetentionRule(age=kept_for, state=state, except_workflows=named)
                )
        if self.delete_intermediates:
            rules.append(
                RetentionRule(
                    age=timedelta(0),
                    state=InvocationState.COMPLETED,
                    kept=Kept.INTERMEDIATES,
                )
            )
        return rules
