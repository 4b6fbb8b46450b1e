# start SHELL SUPERVISE LAUNCH ID MAX_OUTPUT_BYTES TIMEOUT_S STDIN_BYTES: makes the spool, and
# starts the supervisor in it. Stdin: a line of code that enters the directory, the line of
# code that becomes the command, and the command's stdin. It prints "started", or "no" and
# why; nothing runs then.

no() {
	echo "no $1"
	exit 0
}

{ IFS= read -r sp_c && IFS= read -r sp_h; } || no cut
sp_n=${IFS#??}
sp_n=${sp_n%"${sp_n#?}"}
eval "$sp_c"
command -v setsid >/dev/null 2>&1 || no no_setsid

# refused ends with what mkdir said of a directory that it could not make, if the disk is full.
refused() {
	case $1 in
	*'o space left'* | *'uota exceeded'*) no disk_full ;;
	esac
}

# make makes the spool below $1, or fails where that can't be.
make() {
	if ! sp_ours "$1/execs"; then
		[ ! -L "$1" ] && [ ! -L "$1/execs" ] || no not_writable
		[ -d "$1" ] || sp_x=$(LC_ALL=C mkdir -m 0700 "$1" 2>&1) || refused "$sp_x"
		[ -d "$1/execs" ] || sp_x=$(LC_ALL=C mkdir -m 0700 "$1/execs" 2>&1) || refused "$sp_x"
		[ -d "$1/execs" ] || return 1
	fi
	sp_ours "$1" && sp_ours "$1/execs" || no not_writable
	sp_d=$1/execs/$sp_id
	mkdir -m 0700 "$sp_d" 2>/dev/null && return
	[ ! -d "$sp_d" ] || no exists
	sp_x=$(LC_ALL=C mkdir -m 0700 "$sp_d" 2>&1) || {
		refused "$sp_x"
		return 1
	}
}

sp_id=$4
sp_bases make || no not_writable
if [ "$7" -gt 0 ]; then
	(
		umask 077
		exec cat >"$sp_d/stdin"
	) 2>/dev/null || {
		rm -rf "$sp_d"
		no disk_full
	}
	[ "$(($(wc -c <"$sp_d/stdin")))" = "$7" ] || {
		rm -rf "$sp_d"
		no cut
	}
fi

# say prints the command's line. mksh has no printf of its own, and a program's arguments show.
say() {
	case ${KSH_VERSION-} in
	*MIRBSD*) print -r -- "$sp_h" ;;
	*) printf '%s\n' "$sp_h" ;;
	esac
}

# The elements of a pipeline don't ignore INT, as what & starts does. The session's streams
# are open in the first, which ends soon, and in the last, which ends the session with the
# answer: whatever else held one would hold the session.
say | {
	unset SALLYPORT_EXEC_ID
	exec setsid "$1" -c "$2" sallyport "$1" "$3" "$sp_d" "$5" "$6" "$7" 2>/dev/null
} | {
	IFS= read -r sp_m
	echo "$sp_m"
	kill -9 $$
}
