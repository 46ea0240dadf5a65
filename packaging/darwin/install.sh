#!/bin/sh
# Installs Rollcall from the folder this script lies in. Run it as root. DESTDIR puts
# everything below another root and leaves running services alone.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
extension=/opt/rollcall/rollcall.ext
support="$root/Library/Application Support/Rollcall"

if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
	echo "install.sh: run it as root: sudo ./install.sh" >&2
	exit 1
fi

mkdir -p "$root/opt/rollcall/share" "$root/usr/local/bin" "$support/rules.d" "$support/state"
# osquery loads an extension only from where root alone writes. A running program is
# replaced by a new file, never written over.
for program in rollcall.ext rollcall; do
	cp "$here/$program" "$root/opt/rollcall/.$program.new"
	chmod 0755 "$root/opt/rollcall/.$program.new"
	mv -f "$root/opt/rollcall/.$program.new" "$root/opt/rollcall/$program"
done
rm -rf "$root/opt/rollcall/share/packs"
cp -R "$here/packs" "$root/opt/rollcall/share/packs"
cp "$here/uninstall.sh" "$here/LICENSE" "$here/sbom.json" "$root/opt/rollcall/share/"
ln -sf /opt/rollcall/rollcall "$root/usr/local/bin/rollcall"
if [ ! -e "$support/rollcall.yaml" ]; then
	cp "$here/rollcall.yaml" "$support/rollcall.yaml"
	chmod 0644 "$support/rollcall.yaml"
fi
chmod 0755 "$root/opt/rollcall" "$support" "$support/rules.d"
chmod 0700 "$support/state"
if [ -z "$root" ]; then
	chown -R root:wheel /opt/rollcall "$support"
fi

for file in "$root/var/osquery/extensions.load" "$root/opt/orbit/extensions.load"; do
	case "$file" in
	"$root/opt/orbit/"*) [ -d "$root/opt/orbit" ] || continue ;;
	esac
	if [ -f "$file" ] && grep -qxF "$extension" "$file"; then
		continue
	fi
	mkdir -p "${file%/*}"
	if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
		echo >>"$file"
	fi
	echo "$extension" >>"$file"
	chmod go-w "$file"
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
echo "Rollcall is installed: $extension, /usr/local/bin/rollcall"
