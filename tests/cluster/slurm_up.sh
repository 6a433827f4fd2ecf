#!/bin/bash
# slurm_up.sh DIR NODES: a SLURM of NODES nodes on this machine's loopback, for tests. Needs root, slurm-wlm and munge, and
# neither systemd, cgroups nor a database. DIR: short, for its sockets, and its parents open to other users, for munge's.
# Nodes have CPUS cores, MEM megabytes and the first one GPUS pretended GPUs, whatever the machine has. Ports: CTLPORT, and
# NODEPORT + 1, 2, … Afterwards `. DIR/env.sh` leads there.
set -euo pipefail
D=$(mkdir -p "$1" && cd "$1" && pwd); N=$2
CPUS=${CPUS:-4}; MEM=${MEM:-64000}; GPUS=${GPUS:-2}; CTLPORT=${CTLPORT:-36817}; NODEPORT=${NODEPORT:-36820}
H=$(hostname -s)
umask 022
mkdir -p "$D"/{etc,run,log,state,spool,munge,bin}
(umask 077; dd if=/dev/urandom of="$D/munge/munge.key" bs=1024 count=1 status=none)
chmod 0700 "$D/munge"; chmod 0400 "$D/munge/munge.key"
for i in $(seq 1 "$GPUS"); do mknod "$D/etc/gpu$i" c 1 3; done   # each another null device, so that SLURM counts them
[ "$GPUS" = 0 ] || echo "NodeName=n1 Name=gpu Type=fake File=$D/etc/gpu[1-$GPUS]" > "$D/etc/gres.conf"
cat > "$D/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=$CTLPORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$D/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
MinJobAge=3600
KillWait=5
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=300
SlurmdParameters=config_overrides
GresTypes=gpu
CONF
for i in $(seq 1 "$N"); do
  gres=""; [ "$i" != 1 ] || [ "$GPUS" = 0 ] || gres=" Gres=gpu:fake:$GPUS"
  echo "NodeName=n$i NodeHostname=$H NodeAddr=127.0.0.1 Port=$((NODEPORT + i)) CPUs=$CPUS Boards=1 SocketsPerBoard=1" \
    "CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEM State=UNKNOWN$gres" >> "$D/etc/slurm.conf"
  mkdir -p "$D/spool/n$i"
done
cat >> "$D/etc/slurm.conf" <<CONF
PartitionName=cpu Nodes=n[1-$N] Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=n1 MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$D/etc/slurm.conf"
# Snakemake's plugin drops SLURM_CONF from the environment of its inner srun; these find it again
for tool in srun sbatch squeue sacct scancel scontrol sinfo; do
  printf '#!/bin/sh\nSLURM_CONF=%s; export SLURM_CONF; exec /usr/bin/%s "$@"\n' "$SLURM_CONF" "$tool" > "$D/bin/$tool"
  chmod +x "$D/bin/$tool"
done
# every daemon goes to the background by itself and leaves its process id in run/
chown -R munge: "$D/munge"; chmod 0755 "$D"; chmod 1777 "$D/run"
runuser -u munge -- /usr/sbin/munged --key-file="$D/munge/munge.key" --socket="$D/run/munge.socket" \
  --pid-file="$D/run/munged.pid" --log-file="$D/munge/munged.log" --seed-file="$D/munge/munged.seed" --force
for _ in $(seq 50); do
  munge -S "$D/run/munge.socket" -n </dev/null 2>/dev/null | unmunge -S "$D/run/munge.socket" >/dev/null 2>&1 && break
  sleep 0.1
done
/usr/sbin/slurmctld -c -f "$SLURM_CONF"
for i in $(seq 1 "$N"); do /usr/sbin/slurmd -N "n$i" -f "$SLURM_CONF"; done
for _ in $(seq 200); do
  [ "$(sinfo -h -o %T -N -p cpu 2>/dev/null | grep -c idle)" -ge "$N" ] && break
  sleep 0.1
done
sinfo -N -o '%N %P %T %c %m %G'
[ "$(sinfo -h -o %T -N -p cpu | grep -c idle)" -ge "$N" ]
echo "export SLURM_CONF=$SLURM_CONF PATH=$D/bin:\$PATH" > "$D/env.sh"
