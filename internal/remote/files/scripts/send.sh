# … ask|go: prints the entry of what is open as 3 and sends the content; with ask it sends
# the beginning of it, waits for what to send besides ("OFFSET LENGTH" or "stop"), and sends
# exactly that.
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
