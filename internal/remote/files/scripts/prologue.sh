# In front of every script. $1 is the root: absolute, or beginning with ./, or empty for
# the working directory, which is the user's home. What an operation takes comes behind it.
LC_ALL=C TZ=UTC0
export LC_ALL TZ
umask 077
F='%f %s %u %g %d %i %y %z'
# no CODE…: tells why not, and ends; a subshell's caller ends with it.
no() {
printf 'no %s\n' "$*"
exit 7
}
# at cwd, at fd/N: asks the kernel where that is, into w. Programs that we start share
# both with us; the x keeps newlines at the end of a name.
at() {
w=$(readlink -n "/proc/self/$1" && echo x) || no unsupported
w=${w%x}
}
inside() {
case "$w/" in
"$R"/*) ;;
*) no outside ;;
esac
}
# enter DIR: goes from the root into a directory below it, by links too.
enter() {
cd -P "./$1" || lost "$1"
at cwd
inside
}
# lost DIR: tells why DIR can't be entered, a step at a time, so that nothing outside of
# the root is asked for.
lost() {
r=$1/
while [ "$r" ]; do
c=${r%%/*} r=${r#*/}
cd -P "./$c" || {
within "$c"
[ -d "./$c" ] && no denied
[ -e "./$c" ] && no notdir
gone
}
at cwd
inside
done
no moved
}
# within NAME: ends if NAME is a link that leads out of the root.
within() {
[ -L "./$1" ] || return 0
w=$(readlink -nf "./$1" && echo x) || {
w=$(readlink -n "./$1" && echo x) || no missing
case $w in
/*) ;;
*) no missing ;;
esac
}
w=${w%x}
inside
}
gone() {
[ -x . ] || no denied
no missing
}
# try COMMAND…: runs it, and ends with the reason if it fails.
try() { e=$("$@" 2>&1) || bad; }
bad() {
case $e in
*'o space left'*) no space ;;
*'uota exceeded'*) no quota ;;
*'ead-only file'*) no readonly ;;
*'ermission denied'* | *'not permitted'*) no denied ;;
*'ile exists'*) no exists ;;
*'o such file'*) no missing ;;
*'ot a directory'*) no notdir ;;
*'s a directory'*) no isdir ;;
*'not empty'*) no notempty ;;
*'ot found'*) no unsupported ;;
esac
no io
}
[ ! "$1" ] || cd -P "$1" || no root
at cwd
R=${w%/}
shift
