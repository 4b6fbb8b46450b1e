# FROM TO new|any: tells what FROM is, waits, and gives it the path TO, whose parents are
# made. Where that is another file system it says so, and nothing has happened.
from "$1"
to "$2" "$3"
v=$(stat -c %d .) || no io
set -- "$3" $s
[ "$6" = "$v" ] || no device
if [ "$1" = any ]; then
e=$(mv -f -T "/proc/self/fd/5/$n" "./$p" 2>&1) || {
[ -d "./$p" ] && no exists
bad
}
elif [ ! -L "/proc/self/fd/5/$n" ] && [ -d "/proc/self/fd/5/$n" ]; then
e=$(mv -n -T "/proc/self/fd/5/$n" "./$p" 2>&1) || bad
[ ! -d "/proc/self/fd/5/$n" ] || no exists
else
e=$(ln -T "/proc/self/fd/5/$n" "./$p" 2>&1) || {
[ -e "./$p" ] && no exists
bad
}
e=$(rm -f "/proc/self/fd/5/$n" 2>&1) || bad
fi
s=$(stat -c "$F" "./$p") || no moved
printf 'done %s\n' "$s"
