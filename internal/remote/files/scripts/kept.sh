# PATH STAGE: tells what is kept of an upload to PATH.
n=${1##*/}
case $1 in
*/*) enter "${1%/*}" ;;
*) at cwd ;;
esac
resolve
[ ! -L "./$2" ] && [ -f "./$2" ] || no missing
s=$(stat -c "$F" "./$2") || no missing
printf 'ok %s\n' "$s"
