"""Record what Galaxy shows of data, for the unit tests that read it.

    GALAXY=24.2 python -m tests.integration.record_data

As :mod:`tests.integration.record` does for workflows and runs.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.samples import call, upload_text
from tests.integration.record import FOLDER, LIMIT, Recorder
from tests.support.galaxy import GALAXY, Lab
from tests.support.ids import absent_id
from tests.support.wait import until


def record_data(recorder: Recorder, galaxy: LocalGalaxy) -> None:
    """Record what Galaxy shows of data in each state, of each kind and owner."""
    lab = recorder.lab
    other = galaxy.user_key(f"other-{uuid4().hex[:8]}")
    history = lab.call("POST", "histories", {"name": "states"})["id"]
    others = call(lab.url, other, "POST", "histories", {"name": "others"})["id"]

    def upload(name: str, key: str = lab.key) -> str:
        return upload_text(
            lab.url, key, name, "a\n", history if key == lab.key else others
        )

    def fetch(**item: Any) -> str:
        target = {"destination": {"type": "hdas"}, "items": [{"ext": "txt", **item}]}
        body = {"history_id": history, "targets": [target]}
        made: str = lab.call("POST", "tools/fetch", body)["outputs"][0]["id"]
        return made

    def run(exit_code: int) -> str:
        inputs = {"input1": {"src": "hda", "id": lab.text}, "exit_code": exit_code}
        body = {"history_id": history, "tool_id": "gxj_text", "inputs": inputs}
        made: str = lab.call("POST", "tools", body)["outputs"][0]["id"]
        return made

    def collect(name: str, *datasets: str, key: str = lab.key) -> str:
        elements = [
            {"src": "hda", "id": id_, "name": f"e{number}"}
            for number, id_ in enumerate(datasets)
        ]
        body = {
            "name": name,
            "collection_type": "list",
            "element_identifiers": elements,
            "copy_elements": False,
        }
        path = f"histories/{history if key == lab.key else others}/contents"
        path += "/dataset_collections"
        made: str = call(lab.url, key, "POST", path, body)["id"]
        return made

    def keep(name: str, path: str, id_: str) -> Any:
        if path == "dataset_collections":
            return recorder.keep(f"data_{name}", f"{path}/{id_}", view="collection")
        return recorder.keep(
            f"data_{name}", f"{path}/{id_}", hda_ldda="hda", view="summary"
        )

    def state(id_: str) -> str:
        shown: str = recorder.ask(f"datasets/{id_}").json()["state"]
        return shown

    keep("uploading", "datasets", fetch(src="pasted", paste_content="a\n", name="new"))
    hda = {name: upload(name) for name in ("ok", "deleted", "purged")}
    hda["deferred"] = fetch(src="url", url=f"{lab.url}/api/version", deferred=True)
    hda["error"] = run(1)
    until(lambda: state(hda["error"]) in {"ok", "error"}, LIMIT, every=0.2)
    lab.call("DELETE", f"histories/{history}/contents/{hda['deleted']}")
    purge = f"histories/{history}/contents/{hda['purged']}?purge=true"
    lab.call("DELETE", purge)
    until(lambda: recorder.ask(f"datasets/{hda['purged']}").json()["purged"], LIMIT)
    until(lambda: state(hda["deferred"]) == "deferred", LIMIT)
    for name, id_ in hda.items():
        keep(name, "datasets", id_)
    public, private = upload("public", other), upload("private", other)
    call(
        lab.url,
        other,
        "PUT",
        f"datasets/{private}/permissions",
        {"action": "make_private"},
    )
    keep("of_others", "datasets", public)
    keep("private", "datasets", private)
    keep("absent", "datasets", absent_id(galaxy))
    keep("malformed", "datasets", "nonsense")

    hdca = {
        "list": collect("list", hda["ok"], upload("second")),
        "list_with_error": collect("with error", hda["ok"], hda["error"]),
        "list_deleted": collect("gone", upload("third")),
        "list_waiting": collect("waiting", hda["ok"], run(0)),
    }
    lab.call(
        "DELETE",
        f"histories/{history}/contents/dataset_collections/{hdca['list_deleted']}",
    )
    for name, id_ in hdca.items():
        keep(name, "dataset_collections", id_)
    keep("list_of_others", "dataset_collections", collect("x", public, key=other))
    keep("list_absent", "dataset_collections", absent_id(galaxy))
    keep("list_malformed", "dataset_collections", "nonsense")


def main() -> None:
    galaxy = GALAXY
    ran_before = galaxy.status().running
    galaxy.start(print)
    folder = FOLDER / galaxy.release
    try:
        lab = Lab(galaxy.url, galaxy.user_key(f"record-{uuid4().hex[:8]}"))
        record_data(Recorder(lab, galaxy.home, folder), galaxy)
    finally:
        if not ran_before:
            galaxy.stop()


if __name__ == "__main__":
    main()
