"""OpenStack Swift in one process: its four servers, with S3 in front.

It runs in an environment of its own, which has Swift and nothing of ours. Arguments:
the folder of its files, the port of S3, the id of the key and its secret. Objects are
kept in memory.
"""

from __future__ import annotations

import sys
from pathlib import Path
from socket import socket
from typing import Any

import eventlet


eventlet.monkey_patch()

from eventlet import wsgi  # noqa: E402
from paste.deploy import loadapp  # noqa: E402
from swift.common import constraints, storage_policy, utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402


HOST = "127.0.0.1"
PART_POWER = 2
KINDS = ("account", "container", "object")

SWIFT = """
[swift-hash]
swift_hash_path_suffix = test
[storage-policy:0]
name = policy
default = yes
"""

STORAGE = """
[DEFAULT]
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
bind_ip = {host}
bind_port = {port}
log_level = WARNING
[app:main]
use = egg:swift#{app}
"""

PROXY = """
[DEFAULT]
swift_dir = {folder}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
dns_compliant_bucket_names = false
check_bucket_owner = false
cors_preflight_allow_origin = *
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""


def listening(port: int = 0) -> Any:
    return eventlet.listen((HOST, port))


def serve(listener: socket, app: Any) -> Any:
    return eventlet.spawn(
        wsgi.server, listener, app, log_output=False, custom_pool=eventlet.GreenPool()
    )


def make_ring(folder: Path, kind: str, port: int) -> None:
    builder = RingBuilder(PART_POWER, 1, 0)
    builder.add_dev(
        {
            "id": 0,
            "region": 1,
            "zone": 1,
            "weight": 1,
            "ip": HOST,
            "port": port,
            "device": "d",
            "replication_ip": HOST,
            "replication_port": port,
        }
    )
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def main(folder: Path, port: int, key_id: str, secret: str) -> None:
    (folder / "devices" / "d").mkdir(parents=True)
    config = folder / "swift.conf"
    config.write_text(SWIFT)
    utils.config.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE = str(config)
    constraints.SWIFT_CONF_FILE = str(config)
    utils.validate_hash_conf()
    constraints.reload_constraints()
    storage_policy.reload_storage_policies()
    account, user = key_id.split(":")
    listeners = {kind: listening() for kind in KINDS}
    for kind, listener in listeners.items():
        make_ring(folder, kind, listener.getsockname()[1])
    for kind, listener in listeners.items():
        path = folder / f"{kind}.conf"
        path.write_text(
            STORAGE.format(
                folder=folder,
                host=HOST,
                port=listener.getsockname()[1],
                app="mem_object" if kind == "object" else kind,
            )
        )
        serve(listener, loadapp(f"config:{path}", global_conf={"log_name": kind}))
    path = folder / "proxy.conf"
    path.write_text(
        PROXY.format(folder=folder, account=account, user=user, secret=secret)
    )
    proxy = serve(listening(port), loadapp(f"config:{path}"))
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    proxy.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
