# PATH ask|go: opens a file, by links too, as 3.
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
