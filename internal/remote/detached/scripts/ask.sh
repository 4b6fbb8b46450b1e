# ask: reads lines "ID BURY", and prints a line for each: the id, and
#   never | lost | restarted | gone | runs
#   ended ENDING TIMEOUT_S WHAT_END_SAYS… sig.NAME…

# find sets sp_d to the spool below $1.
find() {
	sp_d=$1/execs/$sp_id
	sp_ours "$1" && sp_ours "$1/execs" && sp_ours "$sp_d"
}

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

sp_22() { sp_start=${20} sp_state=$1; }

# lives says whether process $1 is the one that started at $2.
lives() {
	read -r sp_x 2>/dev/null <"/proc/$1/stat" || return 1
	sp_22 ${sp_x##*") "}
	[ "$sp_start" = "$2" ] && [ "$sp_state" != Z ] && [ "$sp_state" != X ]
}

# ended prints the end, if it has been written.
ended() {
	sp_end=
	read -r sp_end 2>/dev/null <"$sp_d/end"
	case $sp_end in
	'ended '*) ;;
	*) return 1 ;;
	esac
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
	if [ ! -e "$sp_d/run" ] && [ "$sp_bury" = 1 ]; then
		set -C
		echo 0 2>/dev/null >"$sp_d/run" && true >"$sp_d/never"
		set +C
	fi
	sp_v= sp_boot= sp_pid= sp_born= sp_timeout=
	read -r sp_v sp_boot sp_pid sp_born sp_x sp_x sp_x sp_timeout sp_x 2>/dev/null <"$sp_d/run"
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

sp_now=
read -r sp_now </proc/sys/kernel/random/boot_id
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
