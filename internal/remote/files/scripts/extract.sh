# BASE STAGE: makes a directory and its parents, and then, below the root, what is told on
# stdin: a letter, MODE and TIME (- leaves each), a path and another, as printf %b takes them:
# f PATH SIZE (the content follows a "yes"), d PATH, l PATH TARGET, h PATH OTHER. The
# answers are "done", or "no" and why. b BYTES - DIR NAMES: files of one directory at once,
# a slash behind each name; a tar of so many bytes follows a "yes". "no", and nothing is
# done, where a link is to be followed, or what is there isn't a file.
# Nobody may be there any more to be told something: what is no use is removed all the same.
trap '' PIPE
make "$1"
echo ok
t=./$2
file() {
follow "$1"
[ ! -d "./$n" ] || no isdir
[ ! -e "./$n" ] || [ -f "./$n" ] || no notfile
trap 'rm -f "$t"' EXIT
e=$( (set -C; : >"$t") 2>&1) || bad
command exec 4>>"$t" || no io
at fd/4
[ "$w" = "$D/${t#./}" ] || no outside
echo yes
[ "$2" = 0 ] || e=$(dd bs=131072 iflag=fullblock,count_bytes count="$2" status=none 2>&1 >&4) || bad
[ "$(stat -L -c %s /proc/self/fd/4)" = "$2" ] || exit 8
try chmod "$m" /proc/self/fd/4
stamp "$d" 4
place "$t" "$n" any
trap - EXIT
}
dir() {
[ ! "$1" ] || make "$1"
command exec 3<. || no denied
at fd/3
inside
[ "$m" = - ] || try chmod "$m" /proc/self/fd/3
stamp "$d" 3
}
parent() {
n=${1##*/}
case $1 in
*/*) make "${1%/*}" ;;
*) at cwd ;;
esac
[ -L "./$n" ] || [ ! -d "./$n" ] || no isdir
trap 'rm -f "$t"' EXIT
}
link() {
parent "$1"
try ln -s "$2" "$t"
place "$t" "$n" any
trap - EXIT
}
hard() {
case $2 in
*/*) enter "${2%/*}" ;;
*) at cwd ;;
esac
command exec 5<. || no denied
back
parent "$1"
try ln -T "/proc/self/fd/5/${2##*/}" "$t"
place "$t" "$n" any
trap - EXIT
rm -f "$t"
}
# together: GNU's tar makes a file only where nothing is (O_EXCL), and sets mode and time on
# what it has open. So it gets a directory of its own that has been verified; from there
# names are moved, and nothing on the way is looked up again.
together() {
[ "$V" = GNU ] || no unsupported
make "$1"
D=${w%/}
command exec 6<. || no denied
IFS=/
set -f
for x in $2; do
[ ! -L "./$x" ] || no notfile
[ ! -e "./$x" ] || [ -f "./$x" ] || no notfile
done
e=$(mkdir -m 0700 "$t" 2>&1) || bad
N=$2
trap 'rmdir "/proc/self/fd/6/${t#./}"' EXIT
cd -P "$t" || no moved
at cwd
[ "$w" = "$D/${t#./}" ] || no moved
trap 'rm -f -- $N; rmdir "/proc/self/fd/6/${t#./}"' EXIT
echo yes
e=$(dd bs=131072 iflag=fullblock,count_bytes count="$m" status=none | { tar -x -p -f - --no-same-owner 2>&1 || { cat >/dev/null; exit 1; }; }) || bad
try mv -f -t /proc/self/fd/6 -- $N
trap - EXIT
rmdir "/proc/self/fd/6/${t#./}"
}
back
while read -r k m d p o; do
[ "$k" != b ] || gnu
plain "$p$o" || {
p=$(printf '%b.' "$p")
p=${p%.}
o=$(printf '%b.' "$o")
o=${o%.}
}
(
trap 'exit 9' HUP INT TERM
case $k in
b) together "$p" "$o" ;;
f) file "$p" "$o" ;;
d) dir "$p" ;;
l) link "$p" "$o" ;;
h) hard "$p" "$o" ;;
esac
echo done
)
[ $? != 8 ] || exit 0
done
