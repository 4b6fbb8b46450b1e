# ID STREAM…: lists the spool's segments, and sends parts of them, as stdin asks: "l", or
# "s SEGMENT OFFSET COUNT END". It does no arithmetic (32 bits in mksh), and starts one
# process for each.
enter() {
cd -P "$1" || return 1
shift
for n; do
[ ! -L "./$n" ] && cd -P "./$n" && [ -O . ] || return 1
done
}
line() {
x=
[ -f "$1" ] && [ ! -L "$1" ] && read -r x <"$1"
}
i=$1 G=
shift
for s; do
G="$G $s.[0-9]*"
done
enter "${HOME:-/}" .sallyport execs "$i" || enter /var/tmp "sallyport-$(id -u)" execs "$i" || {
echo gone
exit
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
t=
[ ! -e never ] || t=never
line end
echo "run $r
boot $b
stat $p
end $x
$t"
stat -c '%f %s %n' . $G
[ -d "$D" ] || echo gone
echo .
;;
s)
if [ -f "$s" ] && [ ! -L "$s" ] && command exec 3<"$s"; then
echo data
dd bs=131072 iflag=skip_bytes,count_bytes skip="$o" count="$c" <&3
x=
read -r _ x </proc/self/fdinfo/3
# What is short ends here, and is known by that.
[ "${x:-$e}" = "$e" ] || exit
exec 3<&-
elif [ -e "$s" ] || [ -L "$s" ]; then
echo bad
else
echo gone
fi
;;
esac
done
