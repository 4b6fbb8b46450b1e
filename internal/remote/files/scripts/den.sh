# den ID: goes to the directory of an attachment, by no link: the kernel says where it is.
den() {
cd -P "./.sallyport/attachments/$1" || astray "$1"
at cwd
[ "$w" = "$R/.sallyport/attachments/$1" ] || no outside
D=$w
}
# astray ID: tells why the directory can't be entered, a step at a time.
astray() {
D=$R
for d in .sallyport attachments "$1"; do
step "$d" || gone
done
no moved
}
# step NAME: goes from D, the working directory, into a directory in it, by no link; it
# fails where there is none.
step() {
cd -P "./$1" || {
[ -L "./$1" ] && no outside
[ -d "./$1" ] && no denied
[ -e "./$1" ] && no notdir
return 1
}
at cwd
[ "$w" != "$D/$1 (deleted)" ] || return 1
[ "$w" = "$D/$1" ] || no outside
D=$w
}
# raze ID: goes up from the directory of an attachment, if it is still in its place, and
# removes it, and the directories above where it was the last.
raze() {
at cwd
[ "$w" = "$R/.sallyport/attachments/$1" ] || no moved
cd -P ..
at cwd
[ "$w" = "$R/.sallyport/attachments" ] || no moved
e=$(rmdir "./$1" 2>&1) || bad
cd -P ..
at cwd
[ "$w" = "$R/.sallyport" ] && rmdir ./attachments 2>&- || return 0
cd -P ..
at cwd
[ "${w%/}" != "$R" ] || rmdir ./.sallyport 2>&-
return 0
}
