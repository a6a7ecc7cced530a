#!/usr/bin/env bash
# What the launchers share; each of them sets `launcher` to its name and sources this.
# shellcheck disable=SC2034 # Most of what is set here is used there.

# The folder of a clone or of a package.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "${launcher:?}: $2" >&2
    exit "$1"
}

# Takes a launcher's own options, `--NAME VALUE` or `--NAME=VALUE`, into variables of their names, with
# underscores; all other words, those of 'causalgen train', go to `words`.
take_options() { # names of options, words ...
    local names=" $1 " name value
    shift
    words=()
    dry_run=false
    show_ranks=false
    while [ $# -gt 0 ]; do
        name=${1%%=*}
        name=${name#--}
        name=${name//_/-}
        case $1 in
            --help) usage; exit 0 ;;
            --dry-run) dry_run=true; shift ;;
            --show-ranks) show_ranks=true; shift ;;
            --*)
                if [[ $names != *" $name "* ]]; then
                    words+=("$1")
                    shift
                    continue
                fi
                if [[ $1 = *=* ]]; then
                    value=${1#*=}
                else
                    [ $# -gt 1 ] || fail 64 "$1 needs a value; see --help"
                    value=$2
                    shift
                fi
                declare -g "${name//-/_}=$value"
                shift
                ;;
            *) words+=("$1"); shift ;;
        esac
    done
}

require_count() { # option, value, least
    if ! [[ $2 =~ ^(0|[1-9][0-9]{0,5})$ ]] || [ "$2" -lt "$3" ]; then
        fail 64 "$1 is '$2', but must be a number, at least $3"
    fi
}

# Sets `program`: a package's, or the one that was built here.
find_program() {
    for program in "$root/bin/causalgen" "$root/.build/release/causalgen"; do
        [ ! -x "$program" ] || return 0
    done
    fail 66 "'$program' is missing; build it: swift build --configuration release"
}

# Sets `configuration` to what the program understands by the words: name, value and origin a line.
read_configuration() { # verb, words ...
    configuration=$("$program" "$@" --print-config) || exit $?
}

# Prints a value of that; nothing where there is none.
configured() { # name
    sed --quiet "s/^$1  *\(.*[^ ]\)  .*/\1/p" <<<"$configuration"
}

# Prints a host's cores, the hardware threads allowed to this process, and all of them: one rank a core,
# not a hardware thread, for two of them share one core's vector units. A container's limit of processor time
# allows as many as it has time for. One line, for another host's shell.
# shellcheck disable=SC2016
count_cores='echo $(lscpu --online --parse=Core,Socket | grep --invert-match "^#" | sort --unique | '$(
    )'wc --lines) $({ cat /sys/fs/cgroup/cpu.max || '$(
    )'paste /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us; } 2>/dev/null | '$(
    )'awk -v cores="$(nproc)" "\$1 + 0 > 0 && \$1 / \$2 < cores { cores = int(\$1 / \$2) } '$(
    )'END { print cores < 1 ? 1 : cores }") $(nproc --all)'

# Sets `mpi_version` to mpirun's first number: Open MPI 5 starts ranks by PRRTE, with other options.
read_mpi_version() {
    local text
    command -v mpirun >/dev/null ||
        fail 69 "mpirun is missing; install openmpi-bin, or try: module load openmpi"
    if [ "$(id --user)" -eq 0 ]; then
        export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    fi
    text=$(mpirun --version 2>&1 || true)
    text=${text%%$'\n'*}
    [[ $text =~ \(Open\ MPI\)\ ([0-9]+)\. ]] ||
        fail 69 "$(command -v mpirun) is not Open MPI's, but says '$text'; try: module load openmpi"
    mpi_version=${BASH_REMATCH[1]}
    [ "$mpi_version" -ge 4 ] || fail 69 "Open MPI $mpi_version is too old; 4 and 5 are known"
}

# Prints how ranks can be bound on a host: `core` where each thread gets a core of its own, `none` where the
# kernel must choose, `shared` where threads outnumber cores.
binding_on() { # ranks on the host, threads of each, cores, allowed hardware threads, all of them
    if [ $(($1 * $2)) -gt "$(($4 < $3 ? $4 : $3))" ]; then
        echo shared
    elif [ "$4" -lt "$5" ]; then
        # Binding counts from the machine's first core, which may not be one of those allowed here.
        echo none
    else
        echo core
    fi
}

# Sets `mapping`, options of mpirun, for ranks that are bound in such a way.
set_mapping() { # core, none or shared; threads of each rank
    case $1 in
        core) mapping=(--bind-to core --map-by "slot:PE=$2") ;;
        none) mapping=(--bind-to none) ;;
        shared)
            mapping=(--bind-to none --mca mpi_yield_when_idle 1)
            # Open MPI 5 has made the option a part of the mapping.
            if [ "$mpi_version" -eq 4 ]; then
                mapping+=(--oversubscribe)
            else
                mapping+=(--map-by slot:OVERSUBSCRIBE)
            fi
            ;;
    esac
}

# Sets `reporting`, options of mpirun: with --show-ranks each line has its rank and each rank says its cores.
set_reporting() {
    reporting=()
    if ! "$show_ranks"; then return; fi
    reporting=(--tag-output --report-bindings)
    [ "$mpi_version" -eq 4 ] || reporting=(--output tag --display bindings)
}

# Sets `between_hosts`, options of mpirun: a host that was switched off is noticed in half a minute, not in
# the kernel's two hours; and the network to use, where one is named.
set_between_hosts() { # interface or nothing
    local option=--mca name
    between_hosts=()
    [ "$mpi_version" -eq 4 ] || option=--prtemca
    for name in "time 10" "intvl 5" "probes 3"; do
        between_hosts+=("$option" "oob_tcp_keepalive_${name% *}" "${name#* }")
    done
    [ -z "$1" ] || {
        between_hosts+=(--mca btl_tcp_if_include "$1")
        if [ "$mpi_version" -eq 4 ]; then
            between_hosts+=(--mca oob_tcp_if_include "$1")
        else
            between_hosts+=(--prtemca prte_if_include "$1")
        fi
    }
}

show_command() {
    local text
    printf -v text ' %q' "$@"
    echo "+$text"
}

# The signal that asked the launcher to stop; the last one, where several did.
stop_signal=""
pass_on() { # signal
    interrupted=true
    [ -z "${child:-}" ] || kill "-$1" "$child" 2>/dev/null || true
}
listen_to_signals() {
    local signal
    for signal in USR1 INT TERM HUP; do
        # shellcheck disable=SC2064
        trap "stop_signal=$signal; pass_on USR1" "$signal"
    done
    # Ranks are asked where their threads are, and go on.
    trap "pass_on USR2" USR2
}

# Runs a command to its end, in a session of its own, and sets `status` to its exit code. USR1, TERM, a
# terminal's Ctrl-C and its end all reach it as USR1, however often: mpirun and srun pass that on to every
# rank, which saves and stops with 75.
run_to_end() {
    local child="" interrupted=true
    listen_to_signals
    status=75
    [ -z "$stop_signal" ] || return 0
    setsid "$@" </dev/null &
    child=$!
    # One that came while it was started.
    [ -z "$stop_signal" ] || pass_on USR1
    # A signal ends the wait, not what is waited for.
    while "$interrupted"; do
        interrupted=false
        status=0
        wait "$child" || status=$?
    done
    # USR1 before anything listened to it: nothing was begun.
    if [ -n "$stop_signal" ] && [ "$status" -eq 138 ]; then status=75; fi
}

# Whether the same command goes on by itself after this exit code: a rank was lost or hangs, it stopped
# early and saved, it was killed, or mpirun lost a host.
can_go_on() {
    case $1 in
        71 | 75 | 137 | 205) ;;
        *) return 1 ;;
    esac
}
