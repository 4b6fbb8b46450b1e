# ID STREAM…: lists the spool's segments, and sends of them, as stdin asks: "l", a part of
# one, "s SEGMENT OFFSET COUNT END", or up to seven whole ones, "c SEGMENT…". It does no
# arithmetic (32 bits in mksh), and starts one process for each.
# find enters the spool below $1.
find() {
sp_ours "$1" && sp_ours "$1/execs" && sp_ours "$1/execs/$i" && cd -P "$1/execs/$i"
}
# line FILE sets x to the first line of a file, if it is one.
line() {
x=
[ -f "$1" ] && [ ! -L "$1" ] && read -r x <"$1"
}
# open N SEGMENT: opens it as N, adds it to f, and says whether it was still there.
open() {
if [ -f "$2" ] && [ ! -L "$2" ] && eval "command exec $1<\"\$2\""; then
f="$f /proc/$$/fd/$1"
echo data
elif [ -e "$2" ] || [ -L "$2" ]; then
echo bad
exit 0
else
echo gone
fi
}
i=$1 G= f=
shift
for s; do
G="$G $s.[0-9]*"
done
sp_bases find || {
echo gone
exit 0
}
D=$PWD
while read -r v s o c e; do
case $v in
# What tells the state comes first, and the end last of it: all of the output is there then.
l)
line run
r=$x q=${x#* * }
q=${q%% *}
case $q in
'' | *[!0-9]*) x= ;;
*) line "/proc/$q/stat" ;;
esac
p=$x
line /proc/sys/kernel/random/boot_id
b=$x
line end
t=
for n in never ending sig.*; do
[ ! -e "$n" ] || t="$t
mark $n"
done
echo "run $r
boot $b
stat $p
end $x$t"
stat -c '%f %s %n' . $G
[ -d "$D" ] || echo gone
echo .
;;
s)
open 3 "$s"
[ ! "$f" ] || {
dd bs=131072 iflag=skip_bytes,count_bytes skip="$o" count="$c" <&3
x=
read -r _ x </proc/self/fdinfo/3
# What is short ends here, and is known by that.
[ "${x:-$e}" = "$e" ] || exit 0
exec 3<&-
}
;;
# An open segment is sent whole, whether it has still a name or not.
c)
set -- 3 4 5 6 7 8 9
for s in $s $o $c $e; do
open "$1" "$s"
shift
done
[ ! "$f" ] || cat $f
exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-
;;
esac
f=
done
