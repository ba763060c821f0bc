"""Workers of a run find each other at the address of their node alone, and compute together."""

import json
import subprocess
import sys

import pytest

_WORKER = """
import json, sys
import psutil, torch
from torch import distributed
from raybert.training import process_group
rank, port = int(sys.argv[1]), int(sys.argv[2])
host = sys.argv[3]
if rank == 0:
    process_group.ray.util.get_node_ip_address = lambda: host
    host, port = process_group._open_store()
    print(port, flush=True)
process_group._join(host, port, "gloo", rank, 2, 60)
total = torch.tensor([rank + 1.0])
distributed.all_reduce(total)
seen = [one.laddr.ip for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
distributed.barrier()
print(json.dumps([float(total), sorted({ip.removeprefix("::ffff:") for ip in seen})]), flush=True)
distributed.destroy_process_group()
"""


@pytest.mark.long
@pytest.mark.slow
def test_nobody_listens_at_another_address():
    first = subprocess.Popen([sys.executable, "-c", _WORKER, "0", "0", "127.0.0.1"], stdout=subprocess.PIPE, text=True)
    port = first.stdout.readline().strip()
    second = subprocess.run(
        [sys.executable, "-c", _WORKER, "1", port, "127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    for said in (first.stdout.read(), second.stdout):
        total, addresses = json.loads(said)
        assert total == 3.0
        assert set(addresses) <= {"127.0.0.1"}
    assert first.wait() == 0
