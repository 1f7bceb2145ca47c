#!/bin/sh
# Process 1 of a conversion host: devices, address and key from the config drive, sshd, the power button.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
mkdir -p /run/sshd /run/config
ip link set lo up
hostname host
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add
udevadm settle
mount -o ro /dev/disk/by-label/config-2 /run/config && python3 /sbin/lab-config
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd && echo "HOST READY $(ip -4 -o addr show dev eth0 | awk '{ print $4 }')"
# The host key on the console is how whoever made this server knows it is talking to it.
echo "HOST KEY $(cat /etc/ssh/ssh_host_ed25519_key.pub)"

for button in /dev/input/event*; do
  (
    dd if="$button" of=/dev/null bs=24 count=1 2>/dev/null
    sync
    mount -o remount,ro /
    echo o >/proc/sysrq-trigger
  ) &
done
while true; do
  sleep 1000
done
