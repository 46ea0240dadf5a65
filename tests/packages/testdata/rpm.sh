# Install, upgrade, downgrade, removal of the rpm by rpm itself, with a database of its
# own; OLD and NEW are in front.
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
load=/etc/osquery/extensions.load
extension=/usr/lib/rollcall/rollcall.ext
count() { grep -cxF "$1" "$2" || true; }
is() { [ "$1" = "$2" ] || fail "$3: $1, want $2"; }
db=/rpmdb
mkdir $db
# rpm gives scripts a path of its own, without this copy's systemctl.
rpm() { command rpm --dbpath $db --define "_install_script_path $PATH" "$@" >/rpm.log 2>&1 </dev/null; }
installed() { command rpm --dbpath $db -q --qf '%{VERSION}\n' rollcall; }
# The copy's dpkg knows what the rpm's scripts need; rpm's own new database doesn't.
old="--nodeps rollcall-${OLD}-1.x86_64.rpm"
new="--nodeps rollcall-${NEW}-1.x86_64.rpm"

mkdir -p /etc/osquery
printf /opt/other.ext >$load # without the end of its line
rpm -i $old || fail "install: $(cat /rpm.log)"
is "$(cat $load)" "/opt/other.ext
$extension" "extensions.load"
is "$(stat -c '%U:%G %a' $extension)" "root:root 755" $extension
is "$(stat -c '%U:%G %a' /var/lib/rollcall)" "root:root 700" /var/lib/rollcall
is "$(rollcall version | cut -d' ' -f2)" "$OLD" "rollcall version"
rpm -V --nodeps rollcall || fail "verify: $(cat /rpm.log)"
is "$(cat /systemctl.log)" "try-restart osqueryd.service
try-restart orbit.service" "restarts"
echo "installed $OLD"

echo 'log_level: debug' >/etc/rollcall/rollcall.yaml
echo remembered >/var/lib/rollcall/kept
mkdir /opt/orbit
rpm -U $new || fail "upgrade: $(cat /rpm.log)"
is "$(installed)" "$NEW" "version after the upgrade"
is "$(cat /etc/rollcall/rollcall.yaml)" "log_level: debug" "configuration after the upgrade"
is "$(cat /var/lib/rollcall/kept)" remembered "state after the upgrade"
is "$(count $extension $load)" 1 "entries after the upgrade"
is "$(cat /opt/orbit/extensions.load)" $extension "Orbit's extensions.load"
is "$(rollcall version | cut -d' ' -f2)" "$NEW" "version after the upgrade"
echo "upgraded to $NEW"

if rpm -U $old; then fail "a downgrade was not refused"; fi
is "$(installed)" "$NEW" "version after the refused downgrade"
is "$(count $extension $load)" 1 "entries after the refused downgrade"
echo "downgrade refused"

rpm -e rollcall || fail "remove: $(cat /rpm.log)"
is "$(cat $load)" /opt/other.ext "extensions.load after the removal"
[ ! -e /opt/orbit/extensions.load ] || fail "Orbit's extensions.load after the removal"
[ ! -e $extension ] || fail "$extension is still there"
is "$(cat /etc/rollcall/rollcall.yaml.rpmsave)" "log_level: debug" "configuration after the removal"
is "$(cat /var/lib/rollcall/kept)" remembered "state after the removal"
echo "removed"
echo "all well"
