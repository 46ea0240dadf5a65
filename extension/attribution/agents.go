package attribution

import (
	"strings"
	"sync"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
)

// A known is a management agent that Rollcall knows by where it is installed.
type known struct {
	name string
	// programs are paths of the agent's program, or of the script that an
	// interpreter runs as the agent.
	programs []string
	// payloads are where its packages put what it runs.
	payloads []string
	// store is where it keeps what its server sends it to run. That counts only when
	// the agent is declared: whoever has the server, or an account at the provider,
	// can send anything.
	store []string
	// accounts are whom it runs as besides root and SYSTEM.
	accounts []string
	// logins says that it works through logins: its payload tells, and account and
	// source must be declared.
	logins bool
}

// KnownAgents are the names of the agents that need no programs when they are
// declared.
func KnownAgents() []string {
	var names []string
	seen := map[string]bool{}
	for _, list := range [][]known{linuxAgents, windowsAgents, darwinAgents} {
		for _, k := range list {
			if !seen[k.name] {
				seen[k.name] = true
				names = append(names, k.name)
			}
		}
	}
	return names
}

// worksByLogin reports whether a known agent works through logins.
func worksByLogin(name string) bool {
	for _, k := range linuxAgents {
		if k.name == name {
			return k.logins
		}
	}
	return false
}

func agentsOf(p evidence.Platform) []known {
	switch p {
	case evidence.Linux:
		return linuxAgents
	case evidence.Windows:
		return windowsAgents
	case evidence.Darwin:
		return darwinAgents
	}
	return nil
}

// places are the programs of the known agents of one platform: whole paths, and
// patterns of paths in the order of the table.
type places struct {
	whole    map[string]*known
	patterns []pattern
}

type pattern struct {
	text string
	of   *known
}

// placesOf are the places of all agents. They are put together once and never
// change.
var placesOf = sync.OnceValue(func() map[evidence.Platform]*places {
	all := map[evidence.Platform]*places{}
	for _, p := range []evidence.Platform{evidence.Linux, evidence.Windows, evidence.Darwin} {
		x := &places{whole: map[string]*known{}}
		list := agentsOf(p)
		for i := range list {
			for _, text := range list[i].programs {
				if strings.Contains(text, "*") {
					x.patterns = append(x.patterns, pattern{text, &list[i]})
				} else {
					x.whole[spelled(text, p)] = &list[i]
				}
			}
		}
		all[p] = x
	}
	return all
})

// spelled is a path as the platform compares it.
func spelled(path string, p evidence.Platform) string {
	if p == evidence.Windows {
		return strings.ToLower(path)
	}
	return path
}

// agentAt is the known agent whose program lies at path, nil for none.
func agentAt(path string, p evidence.Platform) *known {
	x := placesOf()[p]
	if x == nil || path == "" {
		return nil
	}
	if k := x.whole[spelled(path, p)]; k != nil {
		return k
	}
	for _, t := range x.patterns {
		if glob(t.text, path) {
			return t.of
		}
	}
	return nil
}

var ansiblePayloads = []string{"*/.ansible/tmp/ansible-tmp-*/AnsiballZ_*.py", "*/.ansible/tmp/ansible-tmp-*/*.sh", "/tmp/ansible-tmp-*/AnsiballZ_*.py", "/var/tmp/ansible-tmp-*/AnsiballZ_*.py"}

var linuxAgents = []known{
	{name: "ansible", logins: true, payloads: ansiblePayloads},
	{name: "puppet", programs: []string{"/opt/puppetlabs/puppet/bin/puppet", "/opt/puppetlabs/bin/puppet", "/opt/puppetlabs/puppet/bin/mcollectived", "/opt/puppetlabs/puppet/bin/pxp-agent", "/usr/bin/puppet"}, accounts: []string{"puppet"}},
	{name: "chef", programs: []string{"/usr/bin/chef-client", "/opt/chef/bin/chef-client", "/opt/chef/embedded/bin/chef-client", "/usr/bin/cinc-client", "/opt/cinc/bin/cinc-client", "/opt/cinc/embedded/bin/cinc-client"}, accounts: []string{"chef"}},
	{name: "salt", programs: []string{"/usr/bin/salt-minion", "/usr/bin/salt-call", "/opt/saltstack/salt/salt-minion", "/opt/saltstack/salt/salt-call", "/opt/saltstack/salt/bin/salt-minion", "/opt/saltstack/salt/run/run"}, accounts: []string{"salt"}},
	{name: "cfengine", programs: []string{"/var/cfengine/bin/cf-*"}},
	{name: "zabbix", programs: []string{"/usr/sbin/zabbix_agentd", "/usr/sbin/zabbix_agent2"}, payloads: []string{"/usr/lib/zabbix/*", "/usr/share/zabbix-agent*/*"}, accounts: []string{"zabbix"}},
	{name: "nrpe", programs: []string{"/usr/sbin/nrpe", "/usr/bin/nrpe", "/usr/local/ncpa/ncpa*", "/usr/sbin/nagios4", "/usr/sbin/nagios"}, payloads: plugins, accounts: []string{"nagios", "nrpe"}},
	{name: "icinga", programs: []string{"/usr/lib/icinga2/sbin/icinga2", "/usr/lib64/icinga2/sbin/icinga2", "/usr/lib/x86_64-linux-gnu/icinga2/sbin/icinga2", "/usr/lib/aarch64-linux-gnu/icinga2/sbin/icinga2"}, payloads: plugins, accounts: []string{"nagios", "icinga"}},
	{name: "checkmk", programs: []string{"/usr/bin/check_mk_agent", "/usr/bin/cmk-agent-ctl"}, payloads: []string{"/usr/lib/check_mk_agent/*"}, accounts: []string{"cmk-agent"}},
	{name: "sensu", programs: []string{"/usr/sbin/sensu-agent", "/usr/bin/sensu-agent"}, payloads: plugins, accounts: []string{"sensu"}},
	{name: "datadog", programs: []string{"/opt/datadog-agent/bin/agent/agent", "/opt/datadog-agent/embedded/bin/*agent"}, accounts: []string{"dd-agent"}},
	{name: "telegraf", programs: []string{"/usr/bin/telegraf"}, accounts: []string{"telegraf"}},
	{name: "node_exporter", programs: []string{"/usr/bin/node_exporter", "/usr/bin/prometheus-node-exporter", "/usr/sbin/node_exporter", "/usr/local/bin/node_exporter", "/opt/node_exporter/node_exporter"}, payloads: []string{"/usr/share/prometheus-node-exporter-collectors/*"}, accounts: []string{"prometheus", "node_exporter", "node-exp"}},
	{name: "collectd", programs: []string{"/usr/sbin/collectd", "/opt/stackdriver/collectd/sbin/collectd"}, payloads: []string{"/usr/lib/collectd/*"}},
	{name: "netdata", programs: []string{"/usr/sbin/netdata", "/usr/libexec/netdata/plugins.d/*", "/usr/lib/netdata/plugins.d/*", "/opt/netdata/bin/netdata"}, accounts: []string{"netdata"}},
	{name: "osquery", programs: []string{"/usr/bin/osqueryd", "/opt/osquery/bin/osqueryd", "/opt/orbit/bin/orbit/*/orbit", "/opt/orbit/bin/osqueryd/*/osqueryd", "/usr/local/kolide-k2/bin/launcher", "/usr/local/kolide-k2/bin/osqueryd"}, store: []string{"/opt/orbit/*"}},
	{name: "rollcall", programs: []string{"/usr/bin/rollcall", "/usr/local/bin/rollcall", "/usr/lib/rollcall/rollcall.ext", "/usr/local/lib/osquery/rollcall.ext", "/usr/lib/osquery/rollcall.ext", "/opt/rollcall/*"}},
	{name: "wazuh", programs: []string{"/var/ossec/bin/wazuh-*", "/var/ossec/bin/ossec-*"}, payloads: []string{"/var/ossec/ruleset/*", "/var/ossec/wodles/*"}, accounts: []string{"wazuh"}},
	{name: "elastic", programs: []string{"/opt/Elastic/Agent/elastic-agent", "/opt/Elastic/Agent/data/*/elastic-agent", "/opt/Elastic/Agent/data/*/components/*", "/usr/share/*beat/bin/*beat"}},
	{name: "splunk", programs: []string{"/opt/splunkforwarder/bin/splunkd", "/opt/splunk/bin/splunkd"}, payloads: []string{"/opt/splunkforwarder/etc/apps/*/bin/*", "/opt/splunkforwarder/bin/*"}, accounts: []string{"splunk", "splunkfwd"}},
	{name: "newrelic", programs: []string{"/usr/bin/newrelic-infra", "/usr/bin/newrelic-infra-service"}},
	{name: "dynatrace", programs: []string{"/opt/dynatrace/oneagent/agent/*"}, accounts: []string{"dtuser"}},
	{name: "qualys", programs: []string{"/usr/local/qualys/cloud-agent/bin/*"}},
	{name: "nessus", programs: []string{"/opt/nessus_agent/sbin/*", "/opt/nessus/sbin/*"}},
	{name: "rapid7", programs: []string{"/opt/rapid7/ir_agent/ir_agent", "/opt/rapid7/ir_agent/components/*/ir_agent"}},
	{name: "crowdstrike", programs: []string{"/opt/CrowdStrike/falcon-sensor*"}},
	{name: "defender", programs: []string{"/opt/microsoft/mdatp/sbin/wdavdaemon*"}},
	{name: "sentinelone", programs: []string{"/opt/sentinelone/bin/*"}},
	{name: "tanium", programs: []string{"/opt/Tanium/TaniumClient/TaniumClient", "/opt/Tanium/TaniumClient/TaniumCX"}, store: []string{"/opt/Tanium/TaniumClient/Downloads/*", "/opt/Tanium/TaniumClient/Tools/*"}},
	{name: "bigfix", programs: []string{"/opt/BESClient/bin/BESClient"}, store: []string{"/var/opt/BESClient/*"}},
	{name: "waagent", programs: []string{"/usr/sbin/waagent", "/usr/bin/waagent", "/var/lib/waagent/WALinuxAgent-*/bin/*", "/opt/microsoft/azuremonitoragent/bin/*", "/opt/azcmagent/bin/*"}, store: []string{"/var/lib/waagent/*"}},
	{name: "amazon-ssm-agent", programs: []string{"/usr/bin/amazon-ssm-agent", "/usr/bin/ssm-agent-worker", "/usr/bin/ssm-document-worker", "/usr/bin/ssm-session-worker", "/snap/amazon-ssm-agent/*"}, store: []string{"/var/lib/amazon/ssm/*"}},
	{name: "google_guest_agent", programs: []string{"/usr/bin/google_guest_agent", "/usr/bin/google_guest_agent_manager", "/usr/bin/google_osconfig_agent", "/usr/bin/google_metadata_script_runner", "/usr/bin/google-cloud-ops-agent*", "/opt/google-cloud-ops-agent/*"}},
	{name: "kubelet", programs: []string{"/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet", "/snap/kubelet/*", "/home/kubernetes/bin/kubelet", "/usr/bin/k3s", "/usr/local/bin/k3s"}},
	{name: "node-problem-detector", programs: []string{"/usr/bin/node-problem-detector", "/usr/local/bin/node-problem-detector", "/opt/node-problem-detector/bin/*", "/home/kubernetes/bin/node-problem-detector", "/home/kubernetes/node-problem-detector/bin/*"}, payloads: []string{"/home/kubernetes/bin/*", "/home/kubernetes/node-problem-detector/*", "/opt/node-problem-detector/*"}},
	{name: "landscape", programs: []string{"/usr/bin/landscape-client", "/usr/bin/landscape-monitor", "/usr/bin/landscape-manager", "/usr/bin/landscape-broker", "/usr/bin/landscape-sysinfo"}, accounts: []string{"landscape"}},
	{name: "insights", programs: []string{"/usr/bin/insights-client", "/usr/libexec/rhsmd", "/usr/sbin/rhcd", "/usr/sbin/rhcd-worker"}},
	{name: "vmware-tools", programs: []string{"/usr/bin/vmtoolsd"}},
	{name: "qemu-ga", programs: []string{"/usr/bin/qemu-ga", "/usr/sbin/qemu-ga"}},
	{name: "cockpit", programs: []string{"/usr/bin/cockpit-bridge", "/usr/libexec/cockpit-*", "/usr/lib/cockpit/cockpit-*"}},
}

var plugins = []string{"/usr/lib/nagios/plugins/*", "/usr/lib64/nagios/plugins/*", "/usr/lib/monitoring-plugins/*", "/usr/libexec/nagios/*", "/usr/local/ncpa/plugins/*"}

var windowsAgents = []known{
	{name: "puppet", programs: []string{`C:\Program Files\Puppet Labs\Puppet\service\daemon.rb`, `C:\Program Files\Puppet Labs\Puppet\puppet\bin\puppet`, `C:\Program Files\Puppet Labs\Puppet\bin\puppet.exe`, `C:\Program Files\Puppet Labs\Puppet\puppet\bin\pxp-agent.exe`}},
	{name: "salt", programs: []string{`C:\Program Files\Salt Project\Salt\salt-minion.exe`, `C:\Program Files\Salt Project\Salt\salt-call.exe`}},
	{name: "cfengine", programs: []string{`C:\Program Files\Cfengine\bin\cf-*.exe`}},
	{name: "zabbix", programs: []string{`C:\Program Files\Zabbix Agent*\zabbix_agent*.exe`}},
	{name: "nsclient", programs: []string{`C:\Program Files\NSClient++\nscp.exe`, `C:\Program Files (x86)\Nagios\NCPA\ncpa*.exe`, `C:\Program Files\Nagios\NCPA\ncpa*.exe`}, payloads: []string{`C:\Program Files\NSClient++\scripts\*`, `C:\Program Files\Nagios\NCPA\plugins\*`, `C:\Program Files (x86)\Nagios\NCPA\plugins\*`}},
	{name: "icinga", programs: []string{`C:\Program Files\ICINGA2\sbin\icinga2.exe`}, payloads: []string{`C:\Program Files\ICINGA2\sbin\*`}},
	{name: "checkmk", programs: []string{`C:\Program Files (x86)\checkmk\service\check_mk_agent.exe`}},
	{name: "datadog", programs: []string{`C:\Program Files\Datadog\Datadog Agent\bin\agent.exe`, `C:\Program Files\Datadog\Datadog Agent\bin\agent\*-agent.exe`}, accounts: []string{"ddagentuser"}},
	{name: "telegraf", programs: []string{`C:\Program Files\telegraf\telegraf.exe`, `C:\Program Files\InfluxData\telegraf\telegraf.exe`}},
	{name: "windows_exporter", programs: []string{`C:\Program Files\windows_exporter\windows_exporter.exe`}},
	{name: "osquery", programs: []string{`C:\Program Files\osquery\osqueryd\osqueryd.exe`, `C:\Program Files\Orbit\bin\orbit\*\orbit.exe`, `C:\Program Files\Orbit\bin\osqueryd\*\osqueryd.exe`, `C:\Program Files\Kolide\Launcher-kolide-k2\bin\*.exe`}},
	{name: "rollcall", programs: []string{`C:\Program Files\Rollcall\rollcall.exe`, `C:\Program Files\Rollcall\rollcall.ext.exe`, `C:\Program Files\osquery\extensions\rollcall.ext.exe`}},
	{name: "wazuh", programs: []string{`C:\Program Files (x86)\ossec-agent\wazuh-agent.exe`}},
	{name: "elastic", programs: []string{`C:\Program Files\Elastic\Agent\elastic-agent.exe`, `C:\Program Files\Elastic\Agent\data\*\components\*.exe`, `C:\Program Files\Winlogbeat\winlogbeat.exe`}},
	{name: "splunk", programs: []string{`C:\Program Files\SplunkUniversalForwarder\bin\splunkd.exe`}, payloads: []string{`C:\Program Files\SplunkUniversalForwarder\bin\*`, `C:\Program Files\SplunkUniversalForwarder\etc\apps\*\bin\*`}},
	{name: "qualys", programs: []string{`C:\Program Files\Qualys\QualysAgent\QualysAgent.exe`, `C:\Program Files (x86)\Qualys\QualysAgent\QualysAgent.exe`}},
	{name: "nessus", programs: []string{`C:\Program Files\Tenable\Nessus Agent\nessus*.exe`, `C:\Program Files\Tenable\Nessus\nessus*.exe`}},
	{name: "rapid7", programs: []string{`C:\Program Files\Rapid7\Insight Agent\*\ir_agent.exe`, `C:\Program Files\Rapid7\Insight Agent\ir_agent.exe`}},
	{name: "crowdstrike", programs: []string{`C:\Program Files\CrowdStrike\CSFalcon*.exe`}},
	{name: "defender", programs: []string{`C:\Program Files\Windows Defender Advanced Threat Protection\*.exe`, `C:\Program Files\Windows Defender\*.exe`}},
	{name: "sentinelone", programs: []string{`C:\Program Files\SentinelOne\Sentinel Agent *\Sentinel*.exe`}},
	{name: "sccm", programs: []string{`C:\Windows\CCM\CcmExec.exe`, `C:\Windows\CCM\CmRcService.exe`, `C:\Windows\ccmsetup\ccmsetup.exe`}, store: []string{`C:\Windows\CCM\*`, `C:\Windows\ccmcache\*`}},
	{name: "intune", programs: []string{`C:\Program Files (x86)\Microsoft Intune Management Extension\*.exe`}, store: []string{`C:\Program Files (x86)\Microsoft Intune Management Extension\*`, `C:\Windows\IMECache\*`}},
	{name: "scom", programs: []string{`C:\Program Files\Microsoft Monitoring Agent\Agent\*.exe`}, store: []string{`C:\Program Files\Microsoft Monitoring Agent\Agent\Health Service State\*`}},
	{name: "tanium", programs: []string{`C:\Program Files (x86)\Tanium\Tanium Client\Tanium*.exe`}, store: []string{`C:\Program Files (x86)\Tanium\Tanium Client\*`}},
	{name: "bigfix", programs: []string{`C:\Program Files (x86)\BigFix Enterprise\BES Client\BESClient.exe`}, store: []string{`C:\Program Files (x86)\BigFix Enterprise\BES Client\*`}},
	{name: "waagent", programs: []string{`C:\WindowsAzure\Packages\*.exe`, `C:\WindowsAzure\Packages\GuestAgent\*.exe`, `C:\WindowsAzure\GuestAgent_*\*.exe`, `C:\Program Files\AzureConnectedMachineAgent\*.exe`}, store: []string{`C:\WindowsAzure\*`}},
	{name: "amazon-ssm-agent", programs: []string{`C:\Program Files\Amazon\SSM\*.exe`}},
	{name: "google_guest_agent", programs: []string{`C:\Program Files\Google\Compute Engine\agent\*.exe`, `C:\Program Files\Google\OSConfig\*.exe`}},
	{name: "vmware-tools", programs: []string{`C:\Program Files\VMware\VMware Tools\vmtoolsd.exe`}},
	{name: "qemu-ga", programs: []string{`C:\Program Files\Qemu-ga\qemu-ga.exe`}},
	{name: "pdq", programs: []string{`C:\Program Files\PDQ\PDQConnectAgent\pdq-connect-agent.exe`}},
}

var darwinAgents = []known{
	{name: "ansible", logins: true, payloads: ansiblePayloads},
	{name: "puppet", programs: []string{"/opt/puppetlabs/puppet/bin/puppet", "/opt/puppetlabs/bin/puppet", "/opt/puppetlabs/puppet/bin/pxp-agent"}},
	{name: "chef", programs: []string{"/opt/chef/bin/chef-client", "/opt/chef/embedded/bin/chef-client"}},
	{name: "salt", programs: []string{"/opt/salt/salt-minion", "/opt/salt/bin/salt-minion"}},
	{name: "osquery", programs: []string{"/opt/osquery/lib/osquery.app/Contents/MacOS/osqueryd", "/opt/orbit/bin/orbit/*/orbit", "/opt/orbit/bin/osqueryd/*/osqueryd", "/opt/orbit/bin/osqueryd/*/osquery.app/Contents/MacOS/osqueryd", "/usr/local/kolide-k2/*"}, store: []string{"/opt/orbit/*"}},
	{name: "rollcall", programs: []string{"/opt/rollcall/*"}},
	{name: "datadog", programs: []string{"/opt/datadog-agent/bin/agent/agent"}},
	{name: "jamf", programs: []string{"/usr/local/jamf/bin/jamf", "/usr/local/jamf/bin/jamfAgent", "/Library/Application Support/JAMF/Jamf.app/Contents/MacOS/*"}, store: []string{"/Library/Application Support/JAMF/*"}},
	{name: "intune", programs: []string{"/Library/Intune/Microsoft Intune Agent.app/Contents/MacOS/*"}, store: []string{"/Library/Intune/*"}},
	{name: "munki", programs: []string{"/usr/local/munki/*"}},
	{name: "kandji", programs: []string{"/Library/Kandji/*"}},
	{name: "addigy", programs: []string{"/Library/Addigy/*"}},
	{name: "tanium", programs: []string{"/Library/Tanium/TaniumClient/Tanium*"}, store: []string{"/Library/Tanium/TaniumClient/*"}},
	{name: "bigfix", programs: []string{"/Library/BESAgent/BESAgent.app/Contents/MacOS/BESAgent"}},
	{name: "qualys", programs: []string{"/usr/local/qualys/*"}},
	{name: "nessus", programs: []string{"/Library/NessusAgent/run/sbin/*"}},
	{name: "wazuh", programs: []string{"/Library/Ossec/bin/wazuh-*"}},
}
