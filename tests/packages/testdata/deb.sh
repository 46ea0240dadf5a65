# Install, upgrade, downgrade, removal and purge of the deb; OLD and NEW are in front.
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
load=/etc/osquery/extensions.load
extension=/usr/lib/rollcall/rollcall.ext
count() { grep -cxF "$1" "$2" || true; }
is() { [ "$1" = "$2" ] || fail "$3: $1, want $2"; }
install() { dpkg -i --force-confdef --force-confold "$1" >/dpkg.log 2>&1 </dev/null; }

mkdir -p /etc/osquery
printf /opt/other.ext >$load # without the end of its line
install "rollcall_${OLD}_amd64.deb" || fail "install: $(cat /dpkg.log)"
is "$(cat $load)" "/opt/other.ext
$extension" "extensions.load"
is "$(stat -c '%U:%G %a' $extension)" "root:root 755" $extension
is "$(stat -c '%U:%G %a' /usr/lib/rollcall)" "root:root 755" /usr/lib/rollcall
is "$(stat -c '%U:%G %a' /var/lib/rollcall)" "root:root 700" /var/lib/rollcall
is "$(stat -c '%U:%G %a' /etc/rollcall/rollcall.yaml)" "root:root 644" /etc/rollcall/rollcall.yaml
is "$(rollcall version | cut -d' ' -f2)" "$OLD" "rollcall version"
is "$($extension --version | cut -d' ' -f2)" "$OLD" "rollcall.ext --version"
rollcall config check >/dev/null || fail "the configuration of the package is not valid"
rollcall packs check --quiet /usr/share/rollcall/packs/osquery/t1007.conf || fail "the pack of the package"
is "$(stat -c '%a' /usr/share/rollcall/packs/osquery/t1007.conf)" 644 "mode of the pack"
is "$(cat /systemctl.log)" "try-restart osqueryd.service
try-restart orbit.service" "restarts"
[ ! -e /opt/orbit ] || fail "Orbit's directory was made"
echo "installed $OLD"

install "rollcall_${OLD}_amd64.deb" || fail "install again: $(cat /dpkg.log)"
is "$(count $extension $load)" 1 "entries after a second install"

echo 'log_level: debug' >/etc/rollcall/rollcall.yaml
echo remembered >/var/lib/rollcall/kept
mkdir /opt/orbit
install "rollcall_${NEW}_amd64.deb" || fail "upgrade: $(cat /dpkg.log)"
is "$(cat /etc/rollcall/rollcall.yaml)" "log_level: debug" "configuration after the upgrade"
is "$(count $extension $load)" 1 "entries after the upgrade"
is "$(cat /opt/orbit/extensions.load)" $extension "Orbit's extensions.load"
is "$(rollcall version | cut -d' ' -f2)" "$NEW" "version after the upgrade"
echo "upgraded to $NEW"

if install "rollcall_${OLD}_amd64.deb"; then fail "a downgrade was not refused"; fi
grep -q "is older" /dpkg.log || fail "the refusal does not say why: $(cat /dpkg.log)"
is "$(rollcall version | cut -d' ' -f2)" "$NEW" "version after the refused downgrade"
is "$(count $extension $load)" 1 "entries after the refused downgrade"
is "$(dpkg-query -W -f '${Status} ${Version}' rollcall)" "install ok installed $NEW" "state after the refused downgrade"
echo "downgrade refused"

dpkg -r rollcall >/dpkg.log 2>&1 || fail "remove: $(cat /dpkg.log)"
is "$(cat $load)" /opt/other.ext "extensions.load after the removal"
[ ! -e /opt/orbit/extensions.load ] || fail "Orbit's extensions.load after the removal"
[ ! -e $extension ] || fail "$extension is still there"
is "$(cat /etc/rollcall/rollcall.yaml)" "log_level: debug" "configuration after the removal"
is "$(cat /var/lib/rollcall/kept)" remembered "state after the removal"
echo "removed"

install "rollcall_${NEW}_amd64.deb" || fail "install after the removal: $(cat /dpkg.log)"
is "$(count $extension $load)" 1 "entries after it came back"
echo 'title: mine' >/etc/rollcall/rules.d/mine.yml
dpkg -P rollcall >/dpkg.log 2>&1 || fail "purge: $(cat /dpkg.log)"
is "$(cat $load)" /opt/other.ext "extensions.load after the purge"
[ ! -e /etc/rollcall/rollcall.yaml ] || fail "the configuration outlived the purge"
[ ! -e /var/lib/rollcall ] || fail "the state outlived the purge"
is "$(cat /etc/rollcall/rules.d/mine.yml)" "title: mine" "the user's own rule"
rm -r /etc/rollcall
echo "purged"

echo untouched >/victim
rm $load
ln -s /victim $load
install "rollcall_${NEW}_amd64.deb" || fail "install beside a link: $(cat /dpkg.log)"
grep -q "no plain file" /dpkg.log || fail "nothing is said of the link: $(cat /dpkg.log)"
dpkg -P rollcall >/dpkg.log 2>&1 || fail "purge beside a link: $(cat /dpkg.log)"
is "$(cat /victim)" untouched "what the link leads to"
echo "a link is not followed"

rm -rf /etc/osquery
install "rollcall_${NEW}_amd64.deb" || fail "install without osquery: $(cat /dpkg.log)"
is "$(stat -c '%U %a' $load)" "root 644" "extensions.load that was made"
dpkg -P rollcall >/dpkg.log 2>&1
[ ! -e /etc/osquery ] || fail "osquery's directory outlived the purge"
echo "all well"
