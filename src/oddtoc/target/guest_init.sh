#!/bin/busybox sh
# The first process of a guest. Mounts what tools expect, loads the modules in their order and becomes
# busybox init, which keeps the agent and a shell on the console running.

/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
for kind in debugfs:/sys/kernel/debug tracefs:/sys/kernel/tracing securityfs:/sys/kernel/security; do
    [ -d "${kind#*:}" ] && mount -t "${kind%%:*}" "${kind%%:*}" "${kind#*:}"
done

mkdir /run/oddtoc
mkfifo /run/oddtoc/stdout /run/oddtoc/stderr
for module in /lib/modules/*/*.ko; do
    [ -e "$module" ] || continue
    insmod "$module" || basename "$module" .ko >>/run/oddtoc/failed
done

cat >/etc/inittab <<END
::respawn:/sbin/agent run
::respawn:/sbin/agent kill
::respawn:/sbin/agent forward stdout hvc2
::respawn:/sbin/agent forward stderr hvc3
hvc0::askfirst:-/bin/sh
::ctrlaltdel:/bin/reboot
END
exec init
