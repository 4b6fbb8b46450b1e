trap 'exit 9' HUP INT TERM
made=0
# undo: takes away the directories that make made.
undo() {
while [ "$made" -gt 0 ]; do
made=$((made - 1))
at cwd
u=$w
cd -P ..
at cwd
[ "${w%/}/${u##*/}" = "$u" ] && rmdir "./${u##*/}" || return
done
}
# make DIR: goes into a directory below the root, and makes what is missing of it.
make() {
cd -P "./$1" || {
r=$1/
while [ "$r" ]; do
c=${r%%/*} r=${r#*/}
cd -P "./$c" || {
within "$c"
[ -d "./$c" ] && no denied
[ -e "./$c" ] && no notdir
[ -L "./$c" ] && no missing
if e=$(mkdir -m 0755 "./$c" 2>&1); then
made=$((made + 1))
else
[ -d "./$c" ] || bad
fi
cd -P "./$c" || no moved
}
at cwd
inside
done
}
at cwd
inside
}
# follow PATH: goes to the directory of what PATH is, or will be, whose parents are made,
# and follows the last link too: n is the name there, D the directory.
follow() {
n=${1##*/}
case $1 in
*/*) make "${1%/*}" ;;
*) at cwd ;;
esac
resolve
}
resolve() {
i=0
while [ -L "./$n" ]; do
i=$((i + 1))
[ $i -le 40 ] || no notfile
y=$(readlink -n "./$n" && echo x) || no moved
y=${y%x}
l=$n
n=${y##*/}
case $n in
'' | . | ..) no isdir ;;
esac
case $y in
*/*) cd -P "${y%/*}/" || { within "$l"; no missing; } ;;
esac
at cwd
inside
done
D=${w%/}
}
# stamp TIME N: sets the time of what is open as N; - leaves it. Not every touch takes
# fractions of a second.
stamp() {
[ "$1" = - ] || touch -c -d "@$1" "/proc/self/fd/$2" || try touch -c -d "@${1%.*}" "/proc/self/fd/$2"
}
# place FROM NAME new|any: gives FROM, in the working directory, its NAME there. A
# directory is never replaced, and with new nothing is.
place() {
if [ "$3" = new ]; then
e=$(ln -T "$1" "./$2" 2>&1) || {
[ -e "./$2" ] || [ -L "./$2" ] && no exists
bad
}
rm -f "$1"
else
e=$(mv -f -T "$1" "./$2" 2>&1) || {
[ -d "./$2" ] && no isdir
bad
}
fi
}
# peek PATH new|any: ends if what is there may not be replaced, and makes nothing.
peek() {
(
case $1 in
*/*) cd -P "./${1%/*}" || exit 0 ;;
esac
at cwd
inside
free "${1##*/}" "$2"
) || exit 7
}
# agreed STAT: tells what is there, and waits until it may be changed.
agreed() {
printf 'at %s\n' "$1"
read -r c m d o && [ "$c" = go ] || exit 0
}
