# Makes a file in every folder that something is mounted on, and in the usual ones, but for those that it was given.
cut -d ' ' -f 2 /proc/mounts | while read -r folder; do echo "$folder"; done | sort -u >/tmp/mounts
for folder in / /bin /boot /dev /dev/shm /dev/mqueue /etc /home /lib /mnt /opt /root /run /sbin /srv /sys /usr /usr/bin /var /var/tmp $(cat /tmp/mounts); do
  case $folder in /work | /work/* | /tmp | /proc | /proc/*) continue ;; esac
  [ -d "$folder" ] || continue
  (: >"$folder/attack-$$") 2>/dev/null && echo "wrote in $folder"
done
echo looked
