# FROM TO new|any recursive| STAGE: tells what FROM is, waits, copies it to STAGE, beside
# TO, whose parents are made, and puts that in its place.
from "$1"
[ -L "./$n" ] || [ -f "./$n" ] || [ -d "./$n" ] || no notfile
[ -L "./$n" ] || [ ! -d "./$n" ] || [ "$4" ] || no isdir
to "$2" "$3"
command exec 6<. || no denied
t=$5
E=$D
# Nobody may be there any more to be told something: what is no use is removed all the same.
trap '' PIPE
trap 'clean' EXIT
clean() {
cd -P "$E/" && [ -e "./$t" ] || [ -L "./$t" ] || return 0
[ ! -d "./$t" ] || [ -L "./$t" ] || (D=$E && into "$t" && wipe >&2)
[ ! -d "./$t" ] || [ -L "./$t" ] || rmdir "./$t"
rm -f "./$t"
}
# one NAME AS: copies an entry of the working directory S into the directory that is open
# as 6, which is E.
one() {
if [ -L "./$1" ]; then
l=$(readlink -n "./$1" && echo x) || no moved
try ln -s "${l%x}" "/proc/self/fd/6/$2"
elif [ -d "./$1" ]; then
try mkdir "/proc/self/fd/6/$2"
(
command exec 7<"/proc/self/fd/6/$2" || no moved
at fd/7
[ "$w" = "$E/$2" ] || no moved
E=$w
command exec 6<&7 7<&-
D=$S
into "$1"
S=$D
for x in * .*; do
case $x in
. | .. | .sallyport*) continue ;;
esac
[ ! -e "./$x" ] && [ ! -L "./$x" ] || one "$x" "$x"
done
a=$(stat -c %a .) || no io
try chmod "$a" /proc/self/fd/6
try touch -c -r . /proc/self/fd/6
) || exit 7
elif [ -f "./$1" ]; then
command exec 3<"./$1" || no denied
at fd/3
[ "$w" = "$S/$1" ] || no moved
e=$( (set -C; : >"/proc/self/fd/6/$2") 2>&1) || bad
command exec 4>>"/proc/self/fd/6/$2" || no io
at fd/4
[ "$w" = "$E/$2" ] || no moved
e=$(dd bs=131072 conv=fsync,notrunc status=none 2>&1 <&3 >&4) || bad
a=$(stat -L -c %a /proc/self/fd/3) || no io
try chmod "$a" /proc/self/fd/4
try touch -c -r /proc/self/fd/3 /proc/self/fd/4
fi
}
(cd -P /proc/self/fd/5/ && at cwd && [ "$w" = "${S:-/}" ] && one "$n" "$t") || exit 7
at cwd
[ "$w" = "${E:-/}" ] || no moved
if [ ! -L "./$t" ] && [ -d "./$t" ]; then
e=$(mv -n -T "./$t" "./$p" 2>&1) || bad
[ ! -d "./$t" ] || no exists
else
place "$t" "$p" "$3"
fi
trap - EXIT
s=$(stat -c "$F" "./$p") || no moved
printf 'done %s\n' "$s"
