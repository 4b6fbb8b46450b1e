# BASE TEXT: goes to a directory, by links too, and answers what is asked for below it, on
# stdin: a letter and a path, as printf %b takes it ("." is BASE itself). No link is
# followed. The answers begin with "yes", or are "no" and why.
enter "$1"
B=${w%/}
D=$B
echo ok
[ ! "$2" ] || {
g='grep -a'
printf x | $g -q x || g=grep
}
command exec 8>&1
# walk DIR: a step at a time.
walk() {
r=$1/
while [ "$r" ]; do
c=${r%%/*} r=${r#*/}
into "$c"
done
}
# d DIR COUNT ./FROM: of the entries whose names don't begin with a dot, and of those whose names do,
# COUNT at most, in the order of their bytes from FROM on. A record an entry ("./NAME FIELDS",
# and no name has a slash in it), "//", then of the links NAME and target, a NUL behind each,
# and an empty name; then the name up to which nothing is left out, empty for all of them.
list() {
[ "$1" = . ] || walk "$1"
[ -r . ] && [ -x . ] || no denied
echo yes
c=$2 f=$3 r= b= i=0
plain "$f" || {
f=$(printf '%b.' "$f")
f=${f%.}
}
unset GLOBSORT
set -- ./*
k=$#
set -- "$@" ./.*
for e in $k $#; do
l=$i h=$e
while [ $l -lt $h ]; do
m=$(((l + h) / 2))
eval "x=\${$((m + 1))}"
if [ "$x" \< "$f" ]; then l=$((m + 1)); else h=$m; fi
done
n=$c
while [ $l -lt $e ] && [ $n -gt 0 ]; do
l=$((l + 1))
eval "x=\${$l}"
case $x in
./. | ./..) continue ;;
esac
n=$((n - 1))
r="$r \"\${$l}\""
done
[ $l = $e ] || { [ "$b" ] && [ "$b" \< "$x" ]; } || b=$x
i=$e
done
eval "set -- $r"
[ $# = 0 ] || stat -c "%n $F" "$@" || [ $? -lt 126 ] || exit 8
echo //
for x; do
[ ! -L "$x" ] || {
printf '%s\0' "${x#./}"
readlink -n "$x"
printf '\0'
}
done
printf '\0%s\0' "${b#./}"
}
open() {
[ -f "./$1" ] && [ ! -L "./$1" ] || gone
command exec 3<"./$1" || no denied
at fd/3
[ "$w" = "$B/$1" ] || no moved
}
# c: the entry, and so many bytes as it says; where there are fewer, the script ends.
content() {
open "$1"
s=$(stat -L -c "$F" /proc/self/fd/3) || no io
printf 'yes %s\n' "$s"
l=${s#* }
l=${l%% *}
[ "$l" != 0 ] || return 0
e=$(dd bs=131072 iflag=count_bytes count="$l" 2>&1 <&3 >&8)
case $e in
"$((l / 131072))+$((l % 131072 != 0)) records in"*) ;;
*) exit 8 ;;
esac
}
# g: the lines that hold TEXT, numbered, then "//"; none of what looks binary.
search() {
open "$1"
echo yes
if $g -q -F -e "$T" /proc/self/fd/3; then
z=$(dd bs=8192 count=1 <&3 | tr -dc '\000' | wc -c)
[ $z -gt 0 ] || $g -n -F -m 100 -e "$T" /proc/self/fd/3
fi
echo //
}
# t DIR NAMES: a tar of files in a directory, in the order of NAMES, a slash behind each; it
# lacks those that can't be read. Then "end". GNU's tar opens a name without following a link
# or waiting for a FIFO. It pads a file that has become shorter: that ends the script.
together() {
[ "$1" = . ] || walk "$1"
[ "$V" = GNU ] || no unsupported
echo yes
e=$(printf %b "$2" | tr / '\000' | tar -c -f - -b 16 --format=pax --pax-option=delete=atime,delete=ctime --hard-dereference --numeric-owner --no-recursion --null --no-unquote -T - 2>&1 >&8)
[ $? -le 2 ] || exit 8
case $e in
*'padding with zeros'* | *'ead error at'*) exit 8 ;;
esac
echo end
}
T=$2
while read -r k d n; do
[ "$k" != t ] || gnu
plain "$d" || {
d=$(printf '%b.' "$d")
d=${d%.}
}
(
case $k in
t) together "$d" "$n" ;;
d) list "$d" "${n% *}" "${n#* }" ;;
c) content "$d" ;;
g) search "$d" ;;
esac
)
[ $? != 8 ] || exit 0
done
