# Two for one, as long as there is room. The depth bounds it to 512 where nothing else does.
mark=$1
bomb() {
  [ "$1" -gt 0 ] || { sleep 2; return; }
  bomb $(($1 - 1)) | bomb $(($1 - 1)) &
}
bomb 8 2>/dev/null
sleep 2
