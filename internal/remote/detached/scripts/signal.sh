# signal ID NAME: sends a signal to the command's group. It prints "sent", or "gone".

sp_id=$1
if sp_bases find && read_run && ! has_ended && has_group; then
	umask 077
	true 2>/dev/null >"$sp_d/sig.$2"
	if kill "-$2" "-$sp_group" 2>/dev/null; then
		echo sent
		exit
	fi
	rm -f "$sp_d/sig.$2"
fi
echo gone
