# PATH recursive|: tells what is there, waits, and removes it; of a link the link. Prints
# a line "removed N" for every directory that was emptied, and one for the rest.
case $1 in
*/*) enter "${1%/*}" ;;
*) at cwd ;;
esac
D=${w%/}
n=${1##*/}
s=$(stat -c "$F" "./$n") || gone
agreed "$s"
if [ -d "./$n" ] && [ ! -L "./$n" ]; then
[ ! "$2" ] || (into "$n" && wipe) || exit 7
e=$(rmdir "./$n" 2>&1) || bad
else
e=$(rm -f "./$n" 2>&1) || bad
fi
echo 'removed 1
end'
