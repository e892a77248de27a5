"""Record how Galaxy makes a collection, and what it says of one it could not fetch.

    GALAXY=24.2 python -m tests.integration.record_collections

As :mod:`tests.integration.record` does for workflows and runs.
"""

from __future__ import annotations

from uuid import uuid4

from tests.integration.record import FOLDER, LIMIT, Recorder
from tests.support.galaxy import GALAXY, Lab
from tests.support.plates import files
from tests.support.wait import until
from tests.support.workflows import data, tool, workflow


def record_collections(recorder: Recorder, address: str) -> None:
    """Record a pair of a dataset and an address with a wrong checksum, and a run."""
    lab = recorder.lab
    history = lab.call("POST", "histories", {"name": "collections"})["id"]
    hashes = [{"hash_function": "SHA-256", "hash_value": "0" * 64}]
    items = [
        {"src": "url", "url": f"{address}{path}?sig=secret", "ext": "txt", **more}
        for path, more in (
            ("/wrong.txt", {"name": "s1/forward", "hashes": hashes}),
            ("/absent.txt", {"name": "s2/forward"}),
        )
    ]
    target = {"destination": {"type": "hdas"}, "items": items}
    fetched = recorder.send(
        "made_fetch",
        "tools/fetch",
        {"history_id": history, "targets": [target]},
    )
    made = recorder.send(
        "made_collection",
        "dataset_collections",
        {
            "type": "dataset_collection",
            "instance_type": "history",
            "history_id": history,
            "name": "reads",
            "collection_type": "list:paired",
            "copy_elements": False,
            "hide_source_items": True,
            "element_identifiers": [
                {
                    "name": f"s{number}",
                    "src": "new_collection",
                    "collection_type": "paired",
                    "element_identifiers": [
                        {"name": "forward", "src": "hda", "id": output["id"]},
                        {"name": "reverse", "src": "hda", "id": lab.text},
                    ],
                }
                for number, output in enumerate(fetched["outputs"], 1)
            ],
        },
    )
    stored = lab.add(workflow(f"copy {uuid4()}", data("text"), tool("copy", "text")))
    body = {
        "history_id": history,
        "inputs": {"text": {"src": "hdca", "id": made["id"]}},
        "inputs_by": "name",
    }
    run = lab.call("POST", f"workflows/{stored}/invocations", body)["id"]

    def paused() -> list[str]:
        steps = recorder.show(run)["steps"]
        return [
            job["id"]
            for step in steps
            for job in step["jobs"]
            if job["state"] == "paused"
        ]

    until(lambda: len(paused()) == len(items), LIMIT, every=0.5)
    recorder.keep(
        "made_failed",
        "datasets",
        history_id=history,
        q="state",
        qv="error",
        keys="id,name,misc_info,sources",
    )
    for job in paused():
        shown = recorder.ask(f"jobs/{job}", full="true").json()
        path = (
            "absent" if fetched["outputs"][1]["id"] in str(shown["inputs"]) else "wrong"
        )
        recorder.keep(f"made_job_{path}", f"jobs/{job}", full="true")
        (output,) = shown["outputs"].values()
        recorder.keep(f"made_output_{path}", f"datasets/{output['id']}")


def main() -> None:
    galaxy = GALAXY
    ran_before = galaxy.status().running
    galaxy.start(print)
    try:
        lab = Lab(galaxy.url, galaxy.user_key(f"record-{uuid4().hex[:8]}"))
        with files() as address:
            recorder = Recorder(lab, galaxy.home, FOLDER / galaxy.release)
            record_collections(recorder, address)
    finally:
        if not ran_before:
            galaxy.stop()


if __name__ == "__main__":
    main()
