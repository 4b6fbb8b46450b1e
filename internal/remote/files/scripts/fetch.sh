# ID ask|go NAME: opens an attachment's file, by no link, as 3.
den "$1"
[ -f "./$3" ] && [ ! -L "./$3" ] && command exec 3<"./$3" || {
[ ! -L "./$3" ] || no outside
[ ! -f "./$3" ] || no denied
gone
}
at fd/3
[ "$w" = "$D/$3" ] || no outside
