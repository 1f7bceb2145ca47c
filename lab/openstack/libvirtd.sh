#!/bin/sh
# libvirtd.sh ROOT: in a mount namespace of its own (unshare -m), libvirtd finds ROOT/libvirt at its usual places, so that
# nothing of the machine's own libvirt is touched.
set -eu
root=$1

put() {
  mkdir -p "$2"
  /bin/mount --bind "$root/libvirt/$1" "$2"
}

put etc /etc/libvirt
put run /run/libvirt
put lib /var/lib/libvirt
put log /var/log/libvirt
exec libvirtd
