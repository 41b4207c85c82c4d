#!/bin/bash
# A Slurm cluster of this one node, to check launch/slurm without a cluster:
#
#     apt-get install slurm-wlm munge
#     tests/launch/one_node_cluster.sh start FOLDER     # as root; all state is in FOLDER
#     export SLURM_CONF=FOLDER/slurm.conf
#     sbatch ...
#     tests/launch/one_node_cluster.sh stop FOLDER
#
# It has no accounting and no cgroups, and pretends to have 4 CPUs at least.

set -euo pipefail

usage() {
    echo "usage: $0 start|stop FOLDER" >&2
    exit 2
}

[[ $# -eq 2 ]] || usage
folder=$(realpath -m "$2")

write_config() {
    local cpus
    cpus=$(nproc)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=one_node
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-16817}
SlurmdPort=${SLURMD_PORT:-16818}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/slurmctld
SlurmdSpoolDir=$folder/slurmd
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
JobRequeue=1
ReturnToService=2
KillWait=10
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$((cpus < 4 ? 4 : cpus)) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    mkdir -p "$folder"/{slurmctld,slurmd}
    chmod 755 "$folder"
    dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
    chmod 400 "$folder/munge.key"
    # --force: munged would rather not run as root, nor have its socket in a folder of /tmp.
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --log-file="$folder/munged.log" --pid-file="$folder/munged.pid" \
        --seed-file="$folder/munged.seed"
    write_config
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 100); do
        if [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]]; then
            echo "export SLURM_CONF=$SLURM_CONF"
            return
        fi
        sleep 0.2
    done
    tail -n 5 "$folder"/*.log >&2
    echo "the node did not come up" >&2
    exit 1
}

stop() {
    local name
    for name in slurmd slurmctld munged; do
        if [[ -s $folder/$name.pid ]]; then
            kill "$(<"$folder/$name.pid")" 2>/dev/null || true
        fi
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) usage ;;
esac
