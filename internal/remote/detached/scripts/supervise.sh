# What supervises the command, once the session has ended, and writes how it ended.

# Four pipes: 5 is read here, and written by all as 4; 8 and 9 take the command's stdout and
# stderr from 6 and 7; a line on 3 tells that the command has started. Most shells make a pipe
# for a short here-document, which can be opened for writing, and saves a process; others
# make a file of it, and FIFOs it is.
make_pipes() {
	exec 3<<E 5<<E 8<<E 9<<E
x
E
x
E
x
E
x
E
	if [ -p /proc/self/fd/3 ] && [ -p /proc/self/fd/5 ] && [ -p /proc/self/fd/8 ] && [ -p /proc/self/fd/9 ]; then
		read -r sp_x <&3
		read -r sp_x <&5
		read -r sp_x <&8
		read -r sp_x <&9
		exec 4>/proc/self/fd/5 6>/proc/self/fd/8 7>/proc/self/fd/9 3<>/proc/self/fd/3
	else
		mkfifo -m 0600 "$sp_d/3" "$sp_d/5" "$sp_d/8" "$sp_d/9" || no disk_full
		exec 3<>"$sp_d/3" 4<>"$sp_d/5" 6<>"$sp_d/8" 7<>"$sp_d/9"
		exec 5<"$sp_d/5" 8<"$sp_d/8" 9<"$sp_d/9"
		exec 4>"$sp_d/5" 6>"$sp_d/8" 7>"$sp_d/9"
		rm -f "$sp_d/3" "$sp_d/5" "$sp_d/8" "$sp_d/9"
	fi
}

# sp_22 sets sp_start to the start time in what stands behind a process's name.
sp_22() { sp_start=${20}; }

# say prints the command's line. mksh has no printf of its own, and a program's arguments show.
say() {
	case ${KSH_VERSION-} in
	*MIRBSD*) print -r -- "$sp_line" ;;
	*) printf '%s\n' "$sp_line" ;;
	esac
}

# launch runs the command, whose line is stdin. Stderr is not the command's yet: a shell may
# redirect its own for as long as it waits, and writes there which signal has ended a child.
launch() {
	setsid "$sp_sh" -c "$sp_launch" sh "$sp_d" "$sp_boot $sp_me" "$sp_max $sp_time" "$sp_in" "$sp_u" 5>&3 3>&1 8>&6 9>&7 4>&- 6>&- 7>&-
}

# launched is launch with the line. A here-document saves a process; mksh makes a file of each,
# as bash does of a long one.
launched() {
	case $sp_long${KSH_VERSION-} in
	1* | *MIRBSD*) say | launch ;;
	*)
		launch <<E
$sp_line
E
		;;
	esac
}

# ms sets sp_ms to the milliseconds of a time as "times" prints it.
ms() {
	sp_x=${1#*m}
	sp_x=${sp_x%s}
	sp_y=${sp_x#*[.,]}000
	sp_ms=$((${1%%m*} * 60000 + ${sp_x%%[.,]*} * 1000 + 1${sp_y%"${sp_y#???}"} - 1000))
}

# collect NAME TAG: keeps a stream, which is stdin, in segments named by their first offset,
# and then says TAG, how many bytes came, and from where on they are kept. What can't be kept
# is read all the same.
collect() {
	sp_name=$1 sp_tag=$2 sp_n=0 sp_s=0
	exec 8<&- 9<&-
	cd "$sp_d" || lose
	set --
	while :; do
		dd bs=$sp_bs count=$(((sp_seg - sp_s) / sp_bs)) >>"$sp_name.$sp_n" || lose "$@"
		sp_z=$(wc -c <"$sp_name.$sp_n") || lose "$@"
		[ $((sp_z)) -gt $sp_s ] || break
		sp_s=$((sp_z))
		[ $((sp_n + sp_s)) -gt $sp_n ] || lose "$@"
		while [ $# -gt 0 ] && [ $((sp_n + sp_s - ${2:-$sp_n})) -ge $sp_max ]; do
			rm -f "$sp_name.$1"
			shift
		done
		if [ $((sp_seg - sp_s)) -lt $sp_bs ]; then
			set -- "$@" $sp_n
			sp_n=$((sp_n + sp_s)) sp_s=0
		fi
	done
	echo "$sp_tag $((sp_n + sp_s)) ${1:-$sp_n}" >&4
}

# lose reads the rest of a stream for nothing.
lose() {
	cat >/dev/null
	echo "$sp_tag - ${1:-$sp_n}" >&4
	exit
}

# keep: when the command has started, starts the collectors, and tells their numbers.
# Then it is the clock: it ends the command when its time is over, and tells. In the trap, $! is
# the sleep.
keep() {
	exec 5<&- 6>&- 7>&- >/dev/null
	read -r sp_x <&3
	exec 3<&- </dev/null
	read -r sp_x </proc/self/stat
	sp_22 ${sp_x##*") "}
	echo "${sp_x%% *} $sp_start" >"$sp_d/clock"
	collect stdout o <&8 &
	sp_x=$!
	collect stderr e <&9 &
	echo "p $sp_x $!" >&4
	exec 8<&- 9<&-
	sp_x=$!
	trap '[ "$!" = "$sp_x" ] || kill -9 $!; exit' TERM
	sleep "$sp_time" &
	wait $! || exit
	# The command has begun a little later than the sleep.
	while :; do
		read -r sp_v sp_x sp_x sp_x sp_g sp_start sp_x sp_x sp_up <"$sp_d/run" || exit
		[ "$sp_v" = 1 ] || exit
		since
		[ $sp_ms -lt $((sp_time * 1000)) ] || break
		nap
	done
	sp_gone && exit
	echo t >&4
	kill -TERM -$sp_g
	sp_i=0
	while [ $sp_i -lt 20 ] && kill -0 -$sp_g; do
		nap
		sp_i=$((sp_i + 1))
	done
	sp_gone || kill -KILL -$sp_g
	echo k >&4
}

# sp_gone says that the group's number is another process's by now.
sp_gone() {
	sp_was=$sp_start sp_start=$sp_was
	if read -r sp_x <"/proc/$sp_g/stat"; then
		sp_22 ${sp_x##*") "}
	fi
	sp_now=$sp_start sp_start=$sp_was
	[ "$sp_now" != "$sp_was" ]
}

nap() { sleep 0.1 || sleep 1; }

# since sets sp_ms to the milliseconds since the uptime sp_up.
since() {
	read -r sp_x sp_y </proc/uptime
	sp_ms=$((((${sp_x%.*} - ${sp_up%.*}) * 100 + 1${sp_x#*.} - 1${sp_up#*.}) * 10))
}

# late says so when the output has had its time to come.
late() {
	sleep 0.25 || sleep 1
	echo l >&4
}

# waits says whether collector $1 has nothing to do but to wait for more: what it has started
# sleeps. On a busy machine it may just not have come to the end yet.
waits() {
	[ -n "$1" ] || return
	sp_x=
	[ -r "/proc/$1/task/$1/children" ] || return 0
	read -r sp_x sp_y <"/proc/$1/task/$1/children"
	read -r sp_x <"/proc/${sp_x:-none}/stat" || return
	case $sp_x in
	*'(dd) S '*) return 0 ;;
	*') S '*) [ $sp_try -ge 8 ] && return 0 ;;
	esac
	return 1
}

# so_far NAME: sets sp_n to how many bytes of a stream that is still open have come, and sp_f
# to where what is kept begins.
so_far() {
	sp_n=-1 sp_f=0
	for sp_x in "$sp_d/$1".*; do
		sp_x=${sp_x##*.}
		[ "$sp_x" -lt "$sp_n" ] || sp_n=$sp_x
	done
	sp_f=$sp_n
	for sp_x in "$sp_d/$1".*; do
		sp_x=${sp_x##*.}
		[ "$sp_x" -gt "$sp_f" ] || sp_f=$sp_x
	done
	sp_x=$(wc -c <"$sp_d/$1.$sp_n")
	sp_n=$((sp_n + sp_x))
}

# prepare makes what needs a place on the disk, before anything runs.
prepare() {
	umask >&4
	read -r sp_u <&5
	umask 077
	sp_x='                                '
	sp_x=$sp_x$sp_x$sp_x$sp_x
	{ echo "$sp_x$sp_x" >"$sp_d/end" && true >"$sp_d/stdout.0" && true >"$sp_d/stderr.0"; } || no disk_full
	read -r sp_boot </proc/sys/kernel/random/boot_id
	read -r sp_me </proc/self/stat
	sp_22 ${sp_me##*") "}
	sp_me="${sp_me%% *} $sp_start"
	sp_seg=$((sp_max / 8))
	sp_bs=$((sp_seg / 256))
	[ $sp_bs -ge 128 ] || sp_bs=128
	[ $sp_bs -le 65536 ] || sp_bs=65536
	times >&4
	read -r sp_x <&5
	read -r sp_u1 sp_s1 <&5
}

# finish waits for the output, and sets what is known of it. What was told before the end of
# the command stands in front of the c.
finish() {
	sp_t=0 sp_over= sp_killed= sp_self= sp_u2= sp_o= sp_e= sp_open=0 sp_try=0 sp_co= sp_ce=
	while [ -z "$sp_over" ] || [ -z "$sp_o" ] || [ -z "$sp_e" ]; do
		read -r sp_w sp_x sp_y <&5 || break
		case $sp_w in
		t) sp_t=1 ;;
		k) sp_killed=1 ;;
		c) sp_over=1 ;;
		o) sp_o="$sp_x" sp_of=$sp_y ;;
		e) sp_e="$sp_x" sp_ef=$sp_y ;;
		p) sp_co=$sp_x sp_ce=$sp_y ;;
		l)
			sp_try=$((sp_try + 1))
			if [ $sp_try -lt 120 ] && { { [ -z "$sp_o" ] && ! waits "$sp_co"; } || { [ -z "$sp_e" ] && ! waits "$sp_ce"; }; }; then
				late &
			else
				sp_open=1
				break
			fi
			;;
		*m*s)
			[ -z "$sp_self" ] || { sp_u2=$sp_w sp_s2=$sp_x; }
			sp_self=1
			;;
		esac
		case $sp_w in
		[ck]) [ -z "$sp_over" ] || [ "$sp_t$sp_killed" = 1 ] || late & ;;
		esac
	done
	[ -n "$sp_o" ] || {
		so_far stdout
		sp_o=$sp_n sp_of=$sp_f
	}
	[ -n "$sp_e" ] || {
		so_far stderr
		sp_e=$sp_n sp_ef=$sp_f
	}
}

# cpu_used sets sp_cpu.
cpu_used() {
	sp_cpu='- -'
	[ -n "$sp_u2" ] || return
	ms "$sp_u1" && sp_x1=$sp_ms
	ms "$sp_u2" && sp_cpu=$((sp_ms - sp_x1))
	ms "$sp_s1" && sp_x1=$sp_ms
	ms "$sp_s2" && sp_cpu="$sp_cpu $((sp_ms - sp_x1))"
}

supervise() {
	make_pipes
	prepare
	keep &
	sp_k=$!
	exec 8<&- 9<&-
	launched
	sp_c=$?
	sp_v=
	[ -e "$sp_d/run" ] || {
		kill $sp_k
		rm -rf "$sp_d"
		exit
	}
	read -r sp_v sp_x sp_x sp_x sp_x sp_x sp_x sp_x sp_up <"$sp_d/run"
	[ "$sp_v" = 1 ] || {
		kill $sp_k
		exit
	}
	since
	sp_took=$sp_ms
	times >&4
	echo >&3
	exec 3>&- 6>&- 7>&- >/dev/null
	echo c >&4
	finish
	cpu_used
	echo "ended $sp_c $sp_t $sp_took $sp_o $sp_e $sp_of $sp_ef $sp_open $sp_cpu" 1<>"$sp_d/end"
	[ $sp_t = 1 ] || kill $sp_k
}
