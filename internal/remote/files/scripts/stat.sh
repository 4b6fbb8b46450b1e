# PATH: prints the entry itself, also of a link, whose target follows.
f=./${1##*/}
case $1 in
*/*) enter "${1%/*}" ;;
esac
s=$(stat -c "$F" "$f") || gone
printf 'ok %s\n' "$s"
[ ! -L "$f" ] || readlink -n "$f"
