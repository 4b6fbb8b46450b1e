# launch SPOOL "BOOT_ID SUPERVISOR_PID SUPERVISOR_STARTTIME" "MAX_OUTPUT_BYTES TIMEOUT_S"
# STDIN_BYTES UMASK: is the leader of the command's session, and becomes the command. Stdin is
# the command's line; 3 takes the answer, and 5 tells that it was given; 8 and 9 become stdout
# and stderr.

no() {
	[ "$1" = exists ] || rm -rf "$sp_d"
	echo "no $1" >&3
	exit 1
}

sp_d=$1
IFS= read -r sp_h || no cut
sp_n=${IFS#??}
sp_n=${sp_n%"${sp_n#?}"}
if [ "$4" -gt 0 ]; then
	exec <"$1/stdin"
	rm -f "$1/stdin"
else
	exec </dev/null
fi
sp_22() { sp_start=${20}; }
read -r sp_x </proc/self/stat
sp_22 ${sp_x##*") "}
read -r sp_up sp_x </proc/uptime

# Whoever makes this file, the start or its burial, is the only one.
set -C
true 2>/dev/null >"$1/run" || {
	[ -e "$1/run" ] && no exists
	no disk_full
}
set +C
echo "1 $2 $$ $sp_start $3 $sp_up" 2>/dev/null >>"$1/run" || {
	no disk_full
}
echo started >&3
echo >&5
exec >&8 2>&9 3>&- 5>&- 8>&- 9>&-
umask "$5"
eval "$sp_h"
