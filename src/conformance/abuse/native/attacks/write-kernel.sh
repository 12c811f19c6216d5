# Opens for writing what changes the whole machine, and says what could be opened. Where it can be, it is left as it was.
for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/kernel/hotplug /proc/sys/vm/panic_on_oom \
  /proc/sysrq-trigger /proc/sys/fs/binfmt_misc/register /sys/kernel/uevent_helper /sys/power/state \
  /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs \
  /proc/1/mem /proc/irq/default_smp_affinity; do
  [ -e "$file" ] || continue
  (: >>"$file") 2>/dev/null && echo "can write $file"
done
echo looked
