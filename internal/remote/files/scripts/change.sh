# PATH: opens what is there, tells what it is, waits for "go MODE TIME OWNER" (- leaves
# each), and changes that.
f=./$1
[ -e "$f" ] || {
case $1 in
*/*) enter "${1%/*}" ;;
esac
within "${1##*/}"
gone
}
[ -d "$f" ] || [ -f "$f" ] || no notfile
command exec 3<"$f" || command exec 3>>"$f" || no denied
at fd/3
inside
s=$(stat -L -c "$F" /proc/self/fd/3) || no io
agreed "$s"
[ "$o" = - ] || try chown "$o" /proc/self/fd/3
[ "$m" = - ] || try chmod "$m" /proc/self/fd/3
stamp "$d" 3
s=$(stat -L -c "$F" /proc/self/fd/3) || no io
printf 'done %s\n' "$s"
