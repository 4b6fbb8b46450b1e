# ID NAME: makes the directory of an attachment, and takes its content there: as write.sh
# does, "N" and N bytes, again and again, then "end" and how much the whole is. Nothing is
# left of what breaks off.
trap 'exit 9' HUP INT TERM
# Nobody may be there any more to be told something: what is no use is removed all the same.
trap '' PIPE
# descend ID: makes the directory; it fails where one above was removed meanwhile.
descend() {
back
D=$R
for d in .sallyport attachments; do
[ -d "./$d" ] || e=$(mkdir -m 0700 "./$d" 2>&1) || [ -d "./$d" ] || amiss "$d" || return 1
step "$d" || return 1
done
e=$(mkdir -m 0700 "./$1" 2>&1) || amiss "$1" || return 1
step "$1"
}
amiss() {
[ ! -L "./$1" ] || no outside
[ ! -e "./$1" ] || no notdir
case $e in
*'o such file'*) return 1 ;;
esac
bad
}
i=0
until descend "$1"; do
i=$((i + 1))
[ $i -lt 20 ] || no moved
done
trap 'rm -f "./$2"; raze "$1"' EXIT
e=$( (set -C; : >"./$2") 2>&1) || bad
command exec 4>>"./$2" || no io
at fd/4
[ "$w" = "$D/$2" ] || no outside
echo ok
while read -r c l; do
[ "$c" != end ] || break
e=$(dd bs=131072 iflag=fullblock,count_bytes count="$c" status=none 2>&1 >&4) || bad
done
[ "$c" = end ] || exit 0
[ "$(stat -L -c %s /proc/self/fd/4)" = "$l" ] || no io
try chmod 0600 /proc/self/fd/4
e=$(dd if=/proc/self/fd/4 bs=1 count=0 conv=fsync,notrunc status=none 2>&1 >&4) || bad
trap - EXIT
echo done
