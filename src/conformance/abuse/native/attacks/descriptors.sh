# The shell has this script open; the one that lists the folder is closed when the list is there.
for file in /proc/$$/fd/*; do
  fd=${file##*/}
  [ "$fd" -gt 2 ] && [ -L "$file" ] || continue
  target=$(readlink "$file")
  [ "${target##*/}" = descriptors.sh ] || echo "descriptor $fd: $target"
done
echo looked
