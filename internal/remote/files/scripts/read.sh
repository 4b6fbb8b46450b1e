# PATH ask|go: prints the entry and sends the content; with ask it sends the beginning of
# it, waits for what to send besides ("OFFSET LENGTH" or "stop"), and sends exactly that.
p=./$1
[ -f "$p" ] && [ -r "$p" ] && command exec 3<"$p" || {
case $1 in
*/*) enter "${1%/*}" ;;
esac
n=${1##*/}
[ "$n" ] || no isdir
within "$n"
[ -d "./$n" ] && no isdir
[ -f "./$n" ] && no denied
[ -e "./$n" ] && no notfile
gone
}
at fd/3
inside
s=$(stat -L -c "$F" /proc/self/fd/3) || no io
printf 'ok %s\n' "$s"
o=0 l=${s#* }
l=${l%% *}
if [ "$2" = ask ]; then
dd bs=512 count=1 <&3
read -r o l || exit 0
command exec 3</proc/self/fd/3 || exit 0
fi
[ "$o" = stop ] || [ "$l" = 0 ] || exec dd bs=131072 iflag=skip_bytes,count_bytes skip="$o" count="$l" <&3
