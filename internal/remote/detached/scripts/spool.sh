# What all who look into a spool need: the boot id in sp_now, and these.

sp_now=
read -r sp_now </proc/sys/kernel/random/boot_id

# find sets sp_d to the spool below $1.
find() {
	sp_d=$1/execs/$sp_id
	sp_ours "$1" && sp_ours "$1/execs" && sp_ours "$sp_d"
}

# read_run reads what the start has written; sp_v is empty if it hasn't.
read_run() {
	sp_v= sp_boot= sp_pid= sp_born= sp_group= sp_first= sp_timeout=
	read -r sp_v sp_boot sp_pid sp_born sp_group sp_first sp_x sp_timeout sp_x 2>/dev/null <"$sp_d/run"
}

# has_ended says whether the end has been written, and sets sp_end to it.
has_ended() {
	sp_end=
	read -r sp_end 2>/dev/null <"$sp_d/end"
	case $sp_end in
	'ended '*) return 0 ;;
	esac
	return 1
}

# close_start makes what the start would, so that a command which has not started never does.
close_start() {
	set -C
	echo 0 2>/dev/null >"$sp_d/run" && true >"$sp_d/never"
	set +C
}

sp_22() { sp_start=${20} sp_state=$1; }

# lives says whether process $1 is the one that started at $2.
lives() {
	read -r sp_x 2>/dev/null <"/proc/$1/stat" || return 1
	sp_22 ${sp_x##*") "}
	[ "$sp_start" = "$2" ] && [ "$sp_state" != Z ] && [ "$sp_state" != X ]
}

# has_group says whether the command's group can still be the one that was started: its number
# is not given to another process as long as it has members.
has_group() {
	[ "$sp_v" = 1 ] && [ "$sp_boot" = "$sp_now" ] || return
	case $sp_group in
	'' | 0* | 1 | *[!0-9]*) return 1 ;;
	esac
	kill -0 -$sp_group 2>/dev/null || return
	[ ! -d "/proc/$sp_group" ] && return
	read -r sp_x 2>/dev/null <"/proc/$sp_group/stat" || return 0
	sp_22 ${sp_x##*") "}
	[ "$sp_start" = "$sp_first" ]
}
