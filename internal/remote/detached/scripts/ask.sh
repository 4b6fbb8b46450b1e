# ask: reads lines "ID BURY", and prints a line for each: the id, and
#   never | lost | restarted | gone | runs
#   ended ENDING TIMEOUT_S WHAT_END_SAYS… sig.NAME…

# bury makes a tombstone below $1, or tells what stands there meanwhile.
bury() {
	[ -d "$1/execs" ] || {
		[ ! -L "$1" ] && [ ! -L "$1/execs" ] || return 1
		[ -d "$1" ] || mkdir -m 0700 "$1" || return 1
		mkdir -m 0700 "$1/execs" || return 1
	} 2>/dev/null
	sp_ours "$1" && sp_ours "$1/execs" || return 1
	sp_d=$1/execs/$sp_id
	mkdir -m 0700 "$sp_d" 2>/dev/null || {
		[ -d "$sp_d" ] || return 1
		state
		return
	}
	true >"$sp_d/never"
	echo "$sp_id never"
}

# ended prints the end, if it has been written.
ended() {
	has_ended || return
	sp_by=0
	[ ! -e "$sp_d/ending" ] || sp_by=1
	sp_sig=
	for sp_x in "$sp_d"/sig.*; do
		[ ! -e "$sp_x" ] || sp_sig="$sp_sig ${sp_x##*/}"
	done
	echo "$sp_id ended $sp_by $sp_timeout ${sp_end#ended }$sp_sig"
}

# state prints what is known by the spool. A spool without a start is one that is being made,
# or one that was left there, which its burial closes.
state() {
	if [ -e "$sp_d/never" ]; then
		echo "$sp_id never"
		return
	fi
	[ "$sp_bury" = 0 ] || close_start
	read_run
	case $sp_v in
	0) echo "$sp_id never" ;;
	'') echo "$sp_id runs" ;;
	1)
		if ended; then
			return
		elif [ "$sp_boot" != "$sp_now" ]; then
			echo "$sp_id restarted"
		elif lives "$sp_pid" "$sp_born"; then
			echo "$sp_id runs"
		else
			ended || echo "$sp_id gone"
		fi
		;;
	*) echo "$sp_id invalid" ;;
	esac
}

umask 077
while read -r sp_id sp_bury; do
	if sp_bases find; then
		state
	elif [ "$sp_bury" = 1 ] && sp_bases bury; then
		:
	else
		echo "$sp_id lost"
	fi
done
echo .
