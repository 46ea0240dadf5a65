#!/bin/sh
# Removes Rollcall; --purge removes its configuration and state as well.
set -eu
root=${DESTDIR:-}
extension=/opt/rollcall/rollcall.ext

if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
	echo "uninstall.sh: run it as root" >&2
	exit 1
fi
for file in "$root/var/osquery/extensions.load" "$root/opt/orbit/extensions.load"; do
	if [ ! -f "$file" ] || ! grep -qxF "$extension" "$file"; then
		continue
	fi
	rest=$(grep -vxF "$extension" "$file" || true)
	if [ -n "$rest" ]; then
		printf '%s\n' "$rest" >"$file"
	else
		rm -f "$file"
	fi
done
if [ -z "$root" ]; then
	for job in io.osquery.agent com.facebook.osqueryd; do
		if launchctl print "system/$job" >/dev/null 2>&1; then
			launchctl kickstart -k "system/$job"
		fi
	done
	# Fleet's agent may be what runs this script: its restart would end it.
	if launchctl print system/com.fleetdm.orbit >/dev/null 2>&1; then
		(
			trap '' HUP
			sleep 10
			launchctl kickstart -k system/com.fleetdm.orbit
		) >/dev/null 2>&1 &
	fi
fi
rm -rf "$root/opt/rollcall"
rm -f "$root/usr/local/bin/rollcall"
if [ "${1:-}" = --purge ]; then
	rm -rf "$root/Library/Application Support/Rollcall"
fi
echo "Rollcall is removed"
