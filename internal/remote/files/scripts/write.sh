# PATH STAGE OFFSET: takes a file's content into STAGE, beside the file, and puts it in
# its place. On stdin: "N" and N bytes, again and again, then "end" and how much the whole
# is; then, behind what is
# in the file's place now, "go MODE MTIME new|any", or "stop". OFFSET takes up a stage
# that was kept, new begins one; without either, nothing is kept of what breaks off.
follow "$1"
[ ! -d "./$n" ] || no isdir
[ ! -e "./$n" ] || [ -f "./$n" ] || no notfile
t=./$2
# Nobody may be there any more to be told something: what is no use is removed all the same.
trap '' PIPE
[ "$3" ] || trap 'rm -f "$t"; undo' EXIT
[ ! "$3" ] || find . -maxdepth 1 -name '.sallyport-upload-*' -mmin +1440 -exec rm -f {} ';'
k=
case $3 in
'' | new) ;;
*) [ -f "$t" ] && [ ! -L "$t" ] && k=y || [ "$3" = 0 ] || no offset 0 ;;
esac
[ "$k" ] || {
rm -f "$t"
e=$( (set -C; : >"$t") 2>&1) || bad
}
command exec 4>>"$t" || no io
at fd/4
[ "$w" = "$D/$2" ] || no outside
[ ! "$k" ] || {
s=$(stat -L -c %s /proc/self/fd/4) || no io
[ "$s" = "$3" ] || no offset "$s"
}
echo ok
while read -r c l; do
[ "$c" != end ] || break
e=$(dd bs=131072 iflag=fullblock,count_bytes count="$c" status=none 2>&1 >&4) || bad
done
[ "$c" = end ] || exit 0
[ "$(stat -L -c %s /proc/self/fd/4)" = "$l" ] || no io
s=$(stat -c "$F" "./$n") || s=
printf 'at %s\n' "$s"
read -r c m d k && [ "$c" = go ] || {
[ "$c" != drop ] || rm -f "$t"
exit 0
}
try chmod "$m" /proc/self/fd/4
stamp "$d" 4
e=$(dd if=/proc/self/fd/4 bs=1 count=0 conv=fsync,notrunc status=none 2>&1 >&4) || bad
place "$t" "$n" "$k"
t=
trap - EXIT
s=$(stat -L -c "$F" /proc/self/fd/4) || no io
printf 'done %s\n' "$s"
