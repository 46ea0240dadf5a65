#!/bin/sh
# Runs SCRIPT in a copy of this machine's root that goes with it: chroot.sh BASE FILES
# SCRIPT. What is written lands in memory; FILES are in /packages. To be run in a mount
# namespace of its own, as root.
set -eu
base=$1
mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/packages" "$root/run/systemd/system"
cp "$2"/* "$root/packages/"
cp "$3" "$root/packages/script"
# A machine that has never seen Rollcall or osquery's files.
rm -rf "$root/etc/rollcall" "$root/var/lib/rollcall" "$root/etc/osquery" "$root/var/osquery" "$root/var/log/osquery" "$root/opt/orbit"
printf '#!/bin/sh\nexec "$@"\n' >"$root/usr/local/sbin/sudo"
# systemctl restarts the one osqueryd there is, and lists for real.
cat >"$root/usr/local/sbin/systemctl" <<'STUB'
#!/bin/sh
case "$1" in
restart | try-restart)
	echo "$*" >>/systemctl.log
	if [ "$*" = "restart osqueryd" ]; then
		mkdir -p /var/osquery /var/log/osquery
		osqueryd --flagfile=/etc/osquery/osquery.flags --config_path=/etc/osquery/osquery.conf --pidfile=/var/osquery/osqueryd.pid --disable_audit=true >/osqueryd.log 2>&1 &
		echo $! >/osqueryd.started
	fi
	;;
*) exec /usr/bin/systemctl "$@" ;;
esac
STUB
chmod 0755 "$root/usr/local/sbin/sudo" "$root/usr/local/sbin/systemctl"
status=0
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C chroot "$root" /bin/sh -c 'cd /packages && exec /bin/sh -eu script' || status=$?
if [ -s "$root/osqueryd.started" ]; then
	kill "$(cat "$root/osqueryd.started")" 2>/dev/null || true
	n=0
	while kill -0 "$(cat "$root/osqueryd.started")" 2>/dev/null && [ $n -lt 40 ]; do
		sleep 0.5
		n=$((n + 1))
	done
	kill -9 "$(cat "$root/osqueryd.started")" 2>/dev/null || true
	[ $status = 0 ] || tail -n 20 "$root/osqueryd.log"
fi
exit $status
