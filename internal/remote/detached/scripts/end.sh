# end ID: ends the command, which never starts if it hasn't. It prints "left", whether the
# machine shows the processes of all users, and how many of the group are left; or "lost".

sp_id=$1
sp_bases find || {
	echo lost
	exit
}
nap() { sleep 0.1 || sleep 1; } 2>/dev/null
umask 077
sp_count=0 sp_known=0
[ ! -r /proc/1/stat ] || sp_known=1
close_start
read_run
if [ "$sp_v" = 1 ] && ! has_ended; then
	true 2>/dev/null >"$sp_d/ending"
	! has_group || kill -TERM "-$sp_group" 2>/dev/null
	sp_i=0
	while [ $sp_i -lt 20 ] && has_group; do
		nap
		sp_i=$((sp_i + 1))
	done
	! has_group || kill -KILL "-$sp_group" 2>/dev/null
	sp_i=0
	while [ $sp_i -lt 5 ] && has_group; do
		nap
		sp_i=$((sp_i + 1))
	done
	# The supervisor has a little to do yet. Where it is gone, its clock is told.
	sp_i=0
	while [ $sp_i -lt 20 ] && ! has_ended && lives "$sp_pid" "$sp_born"; do
		nap
		sp_i=$((sp_i + 1))
	done
	if [ "$sp_boot" = "$sp_now" ] && ! lives "$sp_pid" "$sp_born" && ! has_ended; then
		sp_clock= sp_set=
		read -r sp_clock sp_set 2>/dev/null <"$sp_d/clock"
		! lives "${sp_clock:-none}" "$sp_set" || kill -TERM "$sp_clock" 2>/dev/null
	fi
	if has_group; then
		for sp_y in /proc/[0-9]*/stat; do
			read -r sp_x 2>/dev/null <"$sp_y" || continue
			set -- ${sp_x##*") "}
			case $1$3 in
			[ZX]*) ;;
			?"$sp_group") sp_count=$((sp_count + 1)) ;;
			esac
		done
	fi
fi
echo "left $sp_known $sp_count"
