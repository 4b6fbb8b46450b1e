# remove: reads ids, and removes their spools. It prints "left" and those that are still there.

sp_ids=
while read -r sp_x; do
	sp_ids="$sp_ids $sp_x"
done

# drop removes what is below $1, and fails, so that both places are looked at.
drop() {
	sp_ours "$1" && sp_ours "$1/execs" && cd -P "$1/execs" || return
	set --
	for sp_x in $sp_ids; do
		if [ -e "$sp_x" ] || [ -L "$sp_x" ]; then
			set -- "$@" "$sp_x"
		fi
	done
	# Somebody who writes there meanwhile can keep a directory from being empty.
	[ $# -eq 0 ] || rm -rf "$@" 2>/dev/null || rm -rf "$@" 2>/dev/null
	for sp_x; do
		[ ! -e "$sp_x" ] || echo "left $sp_x"
	done
	return 1
}
sp_bases drop
echo .
