# Signals to all that it may send any to. What it must not reach goes on: the first process, this shell's parent, other runs.
trap '' TERM HUP INT
for signal in KILL STOP TERM; do
  kill -$signal 1 2>/dev/null
  kill -$signal $PPID 2>/dev/null
done
kill -KILL -1 2>/dev/null
echo looked
