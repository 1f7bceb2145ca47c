#!/bin/busybox sh
# shellcheck shell=dash
# Process 1 of a guest's initrd. A disk with a second partition is a host and goes on there. Without one this is the
# smallest guest: it says on its console what disks it has, whenever that changes, and obeys the power button.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do
  insmod "$module"
done 2>/dev/null
sleep 0.2
if [ -b /dev/vda2 ] && mount -t ext4 /dev/vda2 /root; then
  exec switch_root /root /sbin/lab-init
fi

# 24 bytes are one event of an input device; the only one here is the power button.
for button in /dev/input/event*; do
  (
    dd if="$button" of=/dev/null bs=24 count=1 2>/dev/null
    echo GUEST POWEROFF
    poweroff -f
  ) &
done

shown=
while true; do
  disks=
  for disk in /sys/block/vd*; do
    disks="$disks ${disk##*/}=$(cat "$disk/size"):$(cat "$disk/serial")"
  done
  [ "$disks" = "$shown" ] || echo "GUEST DISKS$disks"
  shown=$disks
  sleep 1
done
