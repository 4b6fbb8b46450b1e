# into NAME: goes from D, the working directory, into a directory in it, only if the
# kernel says that it is that one: no link is followed. In a subshell, so that its caller
# stays where it is.
into() {
cd -P "./$1" || { gone_or_denied "$1"; }
at cwd
[ "$w" = "$D/$1" ] || no moved
D=$w
}
gone_or_denied() {
[ -d "./$1" ] && no denied
no moved
}
# plain TEXT: tells whether printf %b would leave it as it is, which saves a process.
plain() {
case $1 in
*\\*) return 1 ;;
esac
}
# gnu: finds out once whether tar is GNU's, as new as 1.30: V is GNU then.
gnu() {
[ "$V" ] || {
unset TAR_OPTIONS
V=$(tar --version </dev/null 2>/dev/null)
case $V in
'tar (GNU tar) 1.'[3-9][0-9]* | 'tar (GNU tar) '[2-9].*) V=GNU ;;
*) V=none ;;
esac
}
}
V=
