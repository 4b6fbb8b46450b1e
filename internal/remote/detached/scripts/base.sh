# The directory that holds the spools. No variable of ours may have the name of one that the
# login has exported, which is the command's: so they all begin with sp_.

# sp_ours says whether $1 is a directory, the user's own, and no link.
sp_ours() { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]; }

# sp_uid sets sp_uid to the effective user id, without a process.
sp_uid() {
	sp_uid=
	while read -r sp_k sp_x sp_v sp_y; do
		case $sp_k in
		Uid:)
			sp_uid=$sp_v
			return
			;;
		esac
	done </proc/self/status
}

# sp_bases calls $1 with the parent of each place, the home's and the other one, until it
# succeeds.
sp_bases() {
	case ${HOME-} in
	/*) "$1" "$HOME/.sallyport" && return ;;
	esac
	sp_uid
	[ -n "$sp_uid" ] && "$1" "/var/tmp/sallyport-$sp_uid"
}
