# back: to the root, if it is still where it was.
back() {
cd -P "$R/" || no moved
at cwd
[ "${w%/}" = "$R" ] || no moved
}
# free NAME new|any: ends if what is there may not be replaced.
free() {
if [ -L "./$1" ] || [ -e "./$1" ]; then
[ "$2" = any ] || no exists
[ -L "./$1" ] || [ ! -d "./$1" ] || no exists
fi
}
# wipe: empties the working directory, which is D.
wipe() {
k=0
for x in * .*; do
case $x in
. | ..) continue ;;
esac
if [ ! -L "./$x" ] && [ -d "./$x" ]; then
(into "$x" && wipe) || exit 7
e=$(rmdir "./$x" 2>&1) || fail
elif [ -e "./$x" ] || [ -L "./$x" ]; then
e=$(rm -f "./$x" 2>&1) || fail
else
continue
fi
k=$((k + 1))
done
printf 'removed %s\n' "$k"
}
fail() {
printf 'removed %s\n' "$k"
bad
}
# from FROM: goes to the directory S of FROM, whose name there is n, and looks at it.
from() {
case $1 in
*/*) enter "${1%/*}" ;;
*) at cwd ;;
esac
S=${w%/}
n=${1##*/}
s=$(stat -c "$F" "./$n") || gone
}
# to TO new|any: keeps the source's directory open as 5, waits until TO may be
# taken, and goes to its directory D, whose parents are made: its name there is p.
to() {
command exec 5<. || no denied
back
peek "$1" "$2"
agreed "$s"
case $1 in
*/*) make "${1%/*}" ;;
*) at cwd ;;
esac
D=${w%/}
p=${1##*/}
free "$p" "$2"
case $D/ in
"$S/$n/"*) [ -L "/proc/self/fd/5/$n" ] || no self ;;
esac
}
