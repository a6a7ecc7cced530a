#!/usr/bin/env bash
# Submits `causalgen train` as a job of PBS (OpenPBS, PBS Professional, Torque), that resumes by itself, and
# is what that job runs.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: Launch/pbs.sh --qsub 'QSUB_OPTION ...' [--threads N] [--interface NAME|CIDR] [--rsh-agent PROGRAM]
           [--stop-before SECONDS] [--requeues N] [--show-ranks] [--dry-run]
           [PRESET.yaml] [--OPTION VALUE ...]
For example 4 nodes, each with 2 ranks of 8 threads, for a day:
  Launch/pbs.sh --qsub '-l select=4:ncpus=16:mpiprocs=2:ompthreads=8 -l walltime=24:00:00' PRESET.yaml ...
or with Torque: --threads 8 --qsub '-l nodes=4:ppn=16 -l walltime=24:00:00'
All other words go to 'causalgen train'. Ranks are what the node file says; Launch/cluster starts them. The
result has the same bits for every number of nodes, ranks and threads. Before the wall time is over, and at
USR1 ('qsig -s SIGUSR1 JOB'), the step is finished and saved, and a job for the rest is submitted, as it is
after the loss of a rank or node; training then resumes. After TERM, which qdel sends, it is saved and no
job follows. PBS itself runs the job again after the loss of its first node ('-r y').
  --threads      of each rank (OMP_NUM_THREADS, which PBS sets to ompthreads)
  --rsh-agent    in the place of ssh, such as pbs_tmrsh; with --interface see Launch/cluster --help
  --stop-before  how long before the end of the wall time (180)
  --requeues     how many jobs may follow the first (100)
  --dry-run      print the job and the command that submits it, and stop
TEXT
}

launcher=Launch/pbs.sh
# shellcheck source=launching.bash
source "$(dirname "${BASH_SOURCE[0]}")/launching.bash"

qsub=""
threads=""
interface=""
rsh_agent=""
stop_before=180
requeues=100
attempt=1
take_options "qsub threads interface rsh-agent stop-before requeues attempt" "$@"
require_count --stop-before "$stop_before" 0
require_count --requeues "$requeues" 0
require_count --attempt "$attempt" 1

# Prints the job: PBS passes no words to a script, so that they are written into it.
job() { # attempt, words ...
    local word
    printf '#!/bin/bash\ncd %q\nexec %q --attempt %d' "$PWD" "$root/Launch/pbs.sh" "$1"
    for word in "${@:2}"; do
        [ "$word" = --dry-run ] || printf ' %q' "$word"
    done
    echo
}

# Submits a job, with options of qsub before the user's.
submit() { # attempt, "options", words ...
    local attempt=$1 options
    read -r -a options <<<"-N causalgen -j oe -r y $2 $qsub"
    shift 2
    show_command qsub "${options[@]}"
    job "$attempt" "$@" | sed 's/^/  /'
    "$dry_run" || job "$attempt" "$@" | qsub "${options[@]}"
}

# Prints the job's wall time in seconds; nothing where it has none.
wall_time() {
    qstat -f "$PBS_JOBID" | sed --quiet 's/^ *Resource_List.walltime = //p' |
        awk -F : '{ seconds = 0; for (i = 1; i <= NF; i++) seconds = seconds * 60 + $i; print seconds }'
}

# Prints the hosts of the node file with their ranks. PBS Professional lists a host once a rank, Torque once
# a core.
hosts_of_job() {
    sort "$PBS_NODEFILE" | uniq --count | while read -r lines host; do
        [ -z "${PBS_NUM_PPN:-}" ] || lines=$((lines > threads ? lines / threads : 1))
        echo "$host:$lines"
    done | paste --serial --delimiters ,
}

if [ -z "${PBS_JOBID:-}" ]; then
    "$dry_run" || command -v qsub >/dev/null || fail 69 "qsub is missing; try: module load pbs"
    submit 1 "" "$@"
    exit 0
fi

listen_to_signals
threads=${threads:-${OMP_NUM_THREADS:-1}}
command=("$root/Launch/cluster" --hosts "$(hosts_of_job)" --threads "$threads")
[ -z "$interface" ] || command+=(--interface "$interface")
[ -z "$rsh_agent" ] || command+=(--rsh-agent "$rsh_agent")
! "$show_ranks" || command+=(--show-ranks)
command+=("${words[@]}")
echo "job $PBS_JOBID, attempt $attempt, $(date --rfc-3339 seconds)"
seconds=$(wall_time)
timer=""
if [ -n "$seconds" ] && [ "$seconds" -gt "$stop_before" ]; then
    {
        trap 'kill "$nap"; exit' TERM
        sleep $((seconds - stop_before)) &
        nap=$!
        wait "$nap" && kill -USR1 $$
    } >/dev/null 2>&1 &
    timer=$!
fi
show_command "${command[@]}"
run_to_end "${command[@]}"
[ -z "$timer" ] || kill "$timer" 2>/dev/null || true
echo "job $PBS_JOBID, attempt $attempt ended with exit code $status, $(date --rfc-3339 seconds)"
can_go_on "$status" || exit "$status"
if [ "$stop_signal" = TERM ]; then
    echo "$launcher: the job was deleted or preempted; the same command goes on" >&2
elif [ "$attempt" -gt "$requeues" ]; then
    echo "$launcher: $requeues jobs followed the first, and no more; the same command goes on" >&2
else
    # The words of this job, without its own number.
    submit $((attempt + 1)) "-W depend=afterany:$PBS_JOBID" "${@:3}" ||
        echo "$launcher: no job can be submitted here; the same command goes on" >&2
fi
exit "$status"
