#!/bin/bash
# slurm_down.sh DIR: cancel the jobs and stop the daemons that slurm_up.sh started in DIR, by their process ids.
D=$(cd "$1" && pwd); export SLURM_CONF="$D/etc/slurm.conf"
timeout 5 scancel -u "$(id -un)" 2>/dev/null; sleep 1
processes=$(cat "$D"/run/slurmd.*.pid "$D/run/slurmctld.pid" "$D/run/munged.pid" 2>/dev/null)
for process in $processes; do kill "$process" 2>/dev/null; done
for process in $processes; do
  for _ in $(seq 50); do [ -d "/proc/$process" ] || break; sleep 0.1; done
  [ -d "/proc/$process" ] && kill -9 "$process" 2>/dev/null
done
true
