# extensions.load: one path a line, of osquery and of Orbit. Part of the scripts that
# deb and rpm run.
extension=/usr/lib/rollcall/rollcall.ext

# Orbit is where its directory is. osquery may come later: its file is made.
load_files() {
	echo /etc/osquery/extensions.load
	if [ -d /opt/orbit ]; then
		echo /opt/orbit/extensions.load
	fi
}

# A link could lead a script that runs as root anywhere.
ours_to_write() {
	[ ! -L "$1" ] && { [ ! -e "$1" ] || [ -f "$1" ]; }
}

add_entry() {
	for file in $(load_files); do
		if ! ours_to_write "$file"; then
			echo "rollcall: $file is no plain file: add the line $extension yourself" >&2
			continue
		fi
		if [ -f "$file" ] && grep -qxF "$extension" "$file"; then
			continue
		fi
		mkdir -p "${file%/*}"
		# A last line without its end must not run into ours.
		if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then
			echo >>"$file"
		fi
		echo "$extension" >>"$file"
		chmod go-w "$file"
	done
}

remove_entry() {
	for file in /etc/osquery/extensions.load /opt/orbit/extensions.load; do
		if [ ! -f "$file" ] || ! ours_to_write "$file" || ! grep -qxF "$extension" "$file"; then
			continue
		fi
		# In place: owner and mode stay. grep fails when nothing is left.
		rest=$(grep -vxF "$extension" "$file" || true)
		if [ -n "$rest" ]; then
			printf '%s\n' "$rest" >"$file"
		else
			rm -f "$file"
		fi
	done
	rmdir /etc/osquery 2>/dev/null || true
}

# Only what runs is restarted, and a restart that fails does not fail the package. A unit
# that runs this installation itself, as Fleet's agent does when it deploys software, is
# restarted afterwards: a restart now would end the installation halfway.
restart_osquery() {
	if [ -d /run/systemd/system ]; then
		for unit in osqueryd.service orbit.service; do
			if grep -q "/$unit\(/\|\$\)" /proc/self/cgroup 2>/dev/null; then
				systemd-run --quiet --on-active=10 --timer-property=AccuracySec=1s systemctl try-restart "$unit" >/dev/null 2>&1 ||
					echo "rollcall: restart $unit, so that it loads $extension" >&2
			else
				systemctl try-restart "$unit" >/dev/null 2>&1 || true
			fi
		done
	elif [ -x /etc/init.d/osqueryd ] && /etc/init.d/osqueryd status >/dev/null 2>&1; then
		/etc/init.d/osqueryd restart >/dev/null 2>&1 || true
	fi
}
