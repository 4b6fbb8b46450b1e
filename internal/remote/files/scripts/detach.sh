# ID…: removes attachments' directories with what is in them, and says "end" for each, or
# why not.
for i; do
(
back
den "$i"
wipe
raze "$i"
echo end
)
done
