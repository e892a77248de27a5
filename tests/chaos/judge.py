"""Says what is lost, doubled, stuck or wrong, from what Galaxy itself tells."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from attrs import define, field, frozen

from tests.chaos.clients import Wish
from tests.support.truth import Truth, fenced_off


ENDED = frozenset({"completed", "failed", "cancelled"})
GOOD = frozenset({"ok", "skipped"})


@frozen
class Run:
    """What Galaxy shows of one run."""

    id: str
    label: str
    state: str
    history_id: str
    jobs: tuple[str, ...]

    @property
    def may_be(self) -> set[str]:
        """What may be said of it, now that it has ended."""
        if self.state == "cancelled":
            well = all(job in GOOD for job in self.jobs)
            return {"cancelled", "completed"} if well else {"cancelled"}
        if self.state in {"scheduled", "completed"}:
            well = all(job in GOOD for job in self.jobs)
            return {"completed"} if well else {"failed"}
        return {self.state}


@define
class Verdict:
    """Each count with a sentence for everything counted."""

    lost: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    stuck: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)
    undelivered: list[str] = field(factory=list)

    @property
    def good(self) -> bool:
        return not self.sentences()

    def sentences(self) -> list[str]:
        return [
            f"{kind}: {one}"
            for kind in ("lost", "doubled", "stuck", "wrong", "undelivered")
            for one in getattr(self, kind)
        ]


def runs(truth: Truth) -> list[Run]:
    """Return everything that the user has had Galaxy run, as it stands now.

    But for what Galaxy cancelled before it began, since its history was deleted.
    """
    ids: list[str] = []
    while page := truth.ask(
        "invocations",
        limit=100,
        offset=len(ids),
        include_nested_invocations="false",
    ):
        ids += [one["id"] for one in page]

    def look(id_: str) -> Run | None:
        shown = truth.ask(f"invocations/{id_}", step_details="true")
        jobs = [job["state"] for step in shown["steps"] for job in step["jobs"]]
        if fenced_off(shown) and not jobs:
            return None
        label = shown["input_step_parameters"]["label"]["parameter_value"]
        return Run(id_, label, shown["state"], shown["history_id"], tuple(jobs))

    with ThreadPoolExecutor(4) as pool:
        return [one for one in pool.map(look, ids) if one is not None]


def undecided(truth: Truth) -> int:
    """Return how much is still under way, by our own account."""
    ((count,),) = truth.rows(
        "SELECT (SELECT count(*) FROM submissions"
        "        WHERE state IN ('waiting', 'submitting', 'unknown')"
        "        OR look_at IS NOT NULL)"
        " + (SELECT count(*) FROM workflow_invocations"
        "    WHERE state NOT IN ('completed', 'failed', 'cancelled'))"
        " + (SELECT count(*) FROM webhook_deliveries WHERE state = 'pending')"
    )
    dealt_with = truth.rows(
        "SELECT invocation_id FROM workflow_invocations"
        " WHERE history_dealt_with_at IS NOT NULL"
    )
    return int(count) + len(_replaced(truth) - {id_ for (id_,) in dealt_with})


def _replaced(truth: Truth) -> set[str]:
    """Return the runs of whose successors one has completed."""
    rows = truth.rows(
        "SELECT invocation_id, superseded_by, state FROM workflow_invocations"
    )
    successors = {id_: successor for id_, successor, _ in rows}
    completed = {id_ for id_, _, state in rows if state == "completed"}

    def replaced(id_: str) -> bool:
        while successor := successors[id_]:
            if successor in completed:
                return True
            id_ = successor
        return False

    return {id_ for id_ in successors if replaced(id_)}


def judge(
    wishes: Sequence[Wish],
    truth: Truth,
    told_of: Callable[[str], Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
) -> Verdict:
    """Compare what clients were told, what we recorded and what Galaxy ran.

    Args:
        wishes: With what their clients were told.
        truth: Galaxy and the database.
        told_of: Asks the API what became of a submission.
        events: What the receiver of a webhook has accepted, each once, in order.
    """
    verdict = Verdict()
    ran: dict[str, list[Run]] = defaultdict(list)
    for run in runs(truth):
        ran[run.label].append(run)
    recorded = {
        row[0] for row in truth.rows("SELECT invocation_id FROM workflow_invocations")
    }
    for wish in wishes:
        _judge_wish(verdict, wish, ran[wish.label], told_of)
    everything = [run for found in ran.values() for run in found]
    for run in everything:
        if run.id not in recorded:
            verdict.lost.append(f"{run.label} runs as {run.id}, which nobody knows of")
    never = recorded - {run.id for run in everything}
    verdict.wrong += [f"{id_} is recorded, and never ran" for id_ in never]
    _judge_states(verdict, wishes, truth, everything)
    _judge_order(verdict, truth)
    _judge_transitions(verdict, truth)
    _judge_events(verdict, truth, events)
    for id_, state in truth.rows(
        "SELECT submission_id::text, state FROM submissions"
        " WHERE state IN ('waiting', 'submitting', 'unknown')"
    ):
        verdict.stuck.append(f"submission {id_} is {state}")
    for (id_,) in truth.rows(
        "SELECT batch_id::text FROM batches WHERE ended_at IS NULL"
    ):
        verdict.stuck.append(f"batch {id_} has not ended")
    return verdict


def _judge_wish(
    verdict: Verdict,
    wish: Wish,
    ran: Sequence[Run],
    told_of: Callable[[str], Mapping[str, Any]],
) -> None:
    found = {run.id for run in ran}
    said = f"{wish.label} ({wish.kind})"
    if len(found) > 1:
        verdict.doubled.append(f"{said} runs as {sorted(found)}")
    if wish.told - found:
        verdict.lost.append(f"{said} was told of {wish.told}, which never ran")
    if len(wish.told) > 1:
        verdict.wrong.append(f"{said} was told of {wish.told}")
    if wish.problem:
        verdict.wrong.append(f"{said} was answered {wish.problem}")
    if wish.key is not None and not wish.told and not wish.problem:
        verdict.stuck.append(f"{said} was never told of a run")
    if wish.refused and found:
        verdict.wrong.append(f"{said} was told that nothing was started")
    if wish.submission_id is not None:
        answer = told_of(wish.submission_id)
        if answer["state"] not in {"accepted", "rejected"}:
            verdict.stuck.append(f"{said}: its submission is {answer['state']}")
        elif {answer["invocation_id"]} - {None} != found:
            verdict.wrong.append(f"{said}: {answer} is said, {found} ran")


def _judge_states(
    verdict: Verdict, wishes: Sequence[Wish], truth: Truth, ran: Sequence[Run]
) -> None:
    deleted = {one["id"] for one in _histories(truth) if one["deleted"]}
    cancelled = {run for one in wishes if one.cancelled for run in one.told}
    recorded = {
        row[0]: row[1:]
        for row in truth.rows(
            "SELECT invocation_id, state, superseded_by FROM workflow_invocations"
        )
    }
    replaced = _replaced(truth)
    for run in ran:
        if run.id not in recorded:
            continue
        state, superseded_by = recorded[run.id]
        said = f"{run.label} ({run.id})"
        may_go = run.id in replaced
        if state not in ENDED:
            verdict.stuck.append(f"{said} is {state}; Galaxy says {run.state}")
        elif state not in run.may_be:
            verdict.wrong.append(
                f"{said} is {state}; Galaxy says {run.state}, jobs {run.jobs}"
            )
        if state == "cancelled" and not (run.id in cancelled or superseded_by):
            verdict.wrong.append(f"{said} was cancelled, and nobody wanted that")
        if may_go and run.history_id not in deleted:
            verdict.stuck.append(f"{said} was superseded; its history is there")
        if run.history_id in deleted and not may_go:
            verdict.wrong.append(f"{said}: its results are thrown away")


def _judge_order(verdict: Verdict, truth: Truth) -> None:
    """Every run is superseded that a later one overwrites; and no other."""
    births = defaultdict(list)
    for id_, dataset_id, workflow, overwrite, superseded_by in truth.rows(
        "SELECT r.invocation_id, r.dataset_id, r.workflow_name, r.overwrite,"
        " r.superseded_by FROM workflow_invocations r JOIN invocation_transitions t"
        " ON t.invocation_id = r.invocation_id AND t.from_state IS NULL ORDER BY t.id"
    ):
        births[dataset_id, workflow].append((id_, overwrite, superseded_by))
    for born in births.values():
        later = False
        for id_, overwrite, superseded_by in reversed(born):
            if bool(superseded_by) != later:
                verdict.wrong.append(f"{id_}: superseded_by is {superseded_by}")
            later = later or overwrite


def _judge_transitions(verdict: Verdict, truth: Truth) -> None:
    for id_, state, last, number in truth.rows(
        "SELECT r.invocation_id, r.state,"
        " (SELECT to_state FROM invocation_transitions t"
        "  WHERE t.invocation_id = r.invocation_id ORDER BY id DESC LIMIT 1),"
        " (SELECT count(*) FROM invocation_transitions t"
        "  WHERE t.invocation_id = r.invocation_id AND from_state IS NULL)"
        " FROM workflow_invocations r"
    ):
        if last != state or number != 1:
            verdict.wrong.append(f"{id_} is {state}; its transitions end in {last}")


def _judge_events(
    verdict: Verdict, truth: Truth, events: Iterable[Mapping[str, Any]]
) -> None:
    """Each transition, and each end of a batch, has arrived as one event, in order."""
    expected = defaultdict(list)
    for subject, type_ in truth.rows(
        "SELECT invocation_id, 'job.' || to_state FROM invocation_transitions"
        " ORDER BY id"
    ) + truth.rows(
        "SELECT batch_id::text, 'batch.ended' FROM batches WHERE ended_at IS NOT NULL"
    ):
        expected[subject].append(type_)
    arrived = defaultdict(list)
    for event in events:
        if event["type"] != "job.attention":
            arrived[event["subject"]].append(event["type"])
    for subject in expected.keys() | arrived.keys():
        wanted, got = expected[subject], arrived[subject]
        missing = Counter(wanted) - Counter(got)
        verdict.undelivered += [f"{type_} of {subject}" for type_ in missing.elements()]
        if not missing and wanted != got:
            verdict.wrong.append(f"{subject}: {got} arrived, {wanted} happened")


def _histories(truth: Truth) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    while page := truth.ask(
        "histories",
        q="deleted",
        qv="None",
        keys="id,deleted",
        limit=500,
        offset=len(found),
    ):
        found += page
    return found
