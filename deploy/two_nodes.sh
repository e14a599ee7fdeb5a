#!/usr/bin/env bash
# Two Ray nodes on this machine, with token authentication, to try out what a job does on a cluster.
#
#   eval "$(deploy/two_nodes.sh start)"     two nodes with RAY_NODE_CPUS (1) CPUs each; sets addresses and token here
#   ray job submit --working-dir . -- python jobs/doctor.py
#   deploy/two_nodes.sh stop "$TWO_NODES"   ends both and all that they started, by their process ids
#
# Ports are free ones, and everything lies in one new folder, so that several such clusters can run side by side.
set -euo pipefail
set -m # each node leads a process group of its own, which is what `stop` ends

up_s=90 # for a node to come up on a loaded machine; 10 s on an idle one

start_node() { # NAME OPTION...: one node in the background; its process id goes to NAME.pid
  local name=$1 ports
  shift
  read -ra ports <<< "$(free_ports 3)"
  ray start --block "$@" --node-ip-address=127.0.0.1 --num-cpus="${RAY_NODE_CPUS:-1}" \
    --object-store-memory=100000000 --disable-usage-stats --dashboard-agent-listen-port="${ports[0]}" \
    --dashboard-agent-grpc-port="${ports[1]}" --metrics-export-port="${ports[2]}" \
    < /dev/null > "$TWO_NODES/$name.log" 2>&1 &
  echo $! > "$TWO_NODES/$name.pid"
}

free_ports() { # COUNT
  python - "$1" << 'PYTHON'
import socket, sys

probes = [socket.socket() for _ in range(int(sys.argv[1]))]
for probe in probes:
    probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))
PYTHON
}

wait_for() { # COUNT: until so many nodes are alive
  python - "$RAY_API_SERVER_ADDRESS" "$RAY_AUTH_TOKEN_PATH" "$1" "$up_s" << 'PYTHON'
import json, pathlib, sys, time, urllib.request

address, token, count, up_s = sys.argv[1:]
headers = {"Authorization": f"Bearer {pathlib.Path(token).read_text()}"}
request = urllib.request.Request(f"{address}/nodes?view=summary", headers=headers)
deadline = time.monotonic() + float(up_s)
while time.monotonic() < deadline:
    try:
        nodes = json.load(urllib.request.urlopen(request, timeout=2))["data"]["summary"]
    except OSError:
        nodes = []
    if sum(node["raylet"]["state"] == "ALIVE" for node in nodes) == int(count):
        sys.exit()
    time.sleep(0.3)
sys.exit(f"{count} Ray nodes were not up within {up_s} s; see the logs in {pathlib.Path(token).parent}")
PYTHON
}

start() {
  TWO_NODES=$(mktemp -d /tmp/ray2.XXXXXX) # short: Ray puts sockets below it
  trap 'stop "$TWO_NODES" >&2' ERR
  local gcs jobs
  read -r gcs jobs <<< "$(free_ports 2)"
  (umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$TWO_NODES/token")
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$TWO_NODES/token RAY_API_SERVER_ADDRESS=http://127.0.0.1:$jobs
  unset RAY_ADDRESS
  start_node head --head --port="$gcs" --dashboard-host=127.0.0.1 --dashboard-port="$jobs" --temp-dir="$TWO_NODES/ray"
  wait_for 1
  start_node second --address="127.0.0.1:$gcs"
  wait_for 2
  echo "export TWO_NODES=$TWO_NODES RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH" \
    "RAY_API_SERVER_ADDRESS=$RAY_API_SERVER_ADDRESS"
}

stop() { # FOLDER
  local file pid i
  for file in "$1/second.pid" "$1/head.pid"; do
    [[ -f $file ]] || continue
    pid=$(< "$file")
    kill "$pid" 2> /dev/null || continue
    for ((i = 0; i < 50; i++)); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.1
    done
    kill -9 -- "-$pid" 2> /dev/null || true # what did not end within 5 s, and what it left behind
  done
  rm -rf -- "$1"
}

case ${1:-} in
  start) start ;;
  stop) stop "${2:?wanted the folder that start named, as in: two_nodes.sh stop \"\$TWO_NODES\"}" ;;
  *) echo "usage: two_nodes.sh start | stop FOLDER" >&2 && exit 2 ;;
esac
