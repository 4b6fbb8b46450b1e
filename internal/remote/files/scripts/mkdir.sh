# PATH MODE: makes a directory and its parents, or finds it.
case $1 in
*/*) make "${1%/*}" ;;
*) at cwd ;;
esac
D=${w%/}
n=${1##*/}
k=found
[ -e "./$n" ] || [ -L "./$n" ] || {
k=made
e=$(mkdir "./$n" 2>&1) || bad
}
cd -P "./$n" || {
within "$n"
no exists
}
at cwd
inside
[ "$k" = found ] || {
[ "$w" = "$D/$n" ] || no moved
try chmod "$2" .
}
s=$(stat -c "$F" .) || no io
printf '%s %s\n' "$k" "$s"
