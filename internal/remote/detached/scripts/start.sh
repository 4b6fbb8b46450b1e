# Makes the spool, and starts the supervisor in it. In front of it stand sp_sh, sp_launch,
# sp_id, sp_max (bytes), sp_time (seconds), sp_in (bytes of stdin), sp_long, sp_line, the line
# of code that becomes the command, and sp_cd, which enters the directory; behind it, so that
# nothing is done by half of it, the call of begin. It prints "started", or "no" and why;
# nothing runs then.

sp_d=
no() {
	[ -z "$sp_d" ] || rm -rf "$sp_d"
	echo "no $1"
	exit 0
}

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
	mkdir -m 0700 "$1/execs/$sp_id" 2>/dev/null || {
		[ ! -d "$1/execs/$sp_id" ] || no exists
		sp_x=$(LC_ALL=C mkdir -m 0700 "$1/execs/$sp_id" 2>&1) || {
			refused "$sp_x"
			return 1
		}
	}
	sp_d=$1/execs/$sp_id
}

take_stdin() {
	(
		umask 077
		exec cat >"$sp_d/stdin"
	) 2>/dev/null || no disk_full
	[ "$(($(wc -c <"$sp_d/stdin")))" = "$sp_in" ] || no cut
}

# The elements of a pipeline don't ignore INT, as what & starts does. The session's streams
# are open in the last alone, which ends the session with the answer: whatever else held one
# would hold the session.
begin() {
	sp_cd
	command -v setsid >/dev/null 2>&1 || no no_setsid
	sp_bases make || no not_writable
	[ "$sp_in" -eq 0 ] || take_stdin
	{
		exec </dev/null 2>/dev/null
		supervise
	} | {
		IFS= read -r sp_x
		echo "$sp_x"
		kill -9 $$
	}
}
