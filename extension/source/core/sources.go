package core

import (
	"context"
	"strings"
	"time"

	"github.com/Masterminds/squirrel"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

// Source is a source of evidence.
type Source interface {
	// Name is the source's name in rows and health.
	Name() string
	// Read returns what came after cursor (empty at first). An empty cursor in the
	// answer leaves it where it was.
	Read(ctx context.Context, cursor string, limit int) (evidence.Batch, error)
}

// Options are the settings of Sources; zero values mean the defaults.
type Options struct {
	// Clock is the system's by default.
	Clock Clock
	// Slow answers the queries that can take seconds (event logs, lists of services),
	// so that they don't keep those of processes waiting: another connection to the
	// same osquery. By default it is the same one.
	Slow Querier
}

// Sources are all sources that an osquery on a platform can have, the best of each
// kind first. Which of them are read is decided at run time, by what that osquery
// can see and has turned on (see Plan): the others say in an *evidence.Unavailable
// why they are not, and what would change it.
func Sources(q Querier, platform evidence.Platform, o Options) []Source {
	if o.Clock == nil {
		o.Clock = systemClock()
	}
	if o.Slow == nil {
		o.Slow = q
	}
	specs := specsOf(platform)
	w := newWatch(q, platform, o.Clock, specs)
	sources := make([]Source, 0, len(specs))
	for _, s := range specs {
		by := q
		if s.slow {
			by = o.Slow
		}
		switch {
		case s.feed != nil:
			sources = append(sources, newEvents(*s.feed, by, o.Clock, newGate(w, s)))
		case s.snapshot.books != nil:
			sources = append(sources, &Services{newSnapshots(*s.snapshot, by, o.Clock, newGate(w, s))})
		default:
			sources = append(sources, newSnapshots(*s.snapshot, by, o.Clock, newGate(w, s)))
		}
	}
	return sources
}

// Choice is what became of one source: it is read where Off is nil.
type Choice struct {
	Source string
	Off    *evidence.Unavailable
}

// Plan decides which sources are read on a platform, given what osquery can see
// there: those that work, unless a better one tells the same. They are in the
// order of Sources.
func Plan(caps *Capabilities, platform evidence.Platform) []Choice {
	return plan(caps, specsOf(platform))
}

func plan(caps *Capabilities, specs []spec) []Choice {
	on := map[string]bool{}
	choices := make([]Choice, 0, len(specs))
	for _, s := range specs {
		off := s.needs.check(caps)
		if s.instead != nil {
			if better := s.instead(caps, on); better != "" {
				off = &evidence.Unavailable{State: evidence.StateOff, Detail: "not needed: " + better + " is read"}
			}
		}
		on[s.name] = off == nil
		choices = append(choices, Choice{Source: s.name, Off: off})
	}
	return choices
}

// spec describes one source: a feed or a snapshot.
type spec struct {
	name     string
	needs    needs
	feed     *feed
	snapshot *snapshot
	slow     bool
	// asks are event logs whose records decide about other sources.
	asks []Log
	// instead names the source that makes this one needless, given those before it
	// that are read; empty for none.
	instead func(caps *Capabilities, on map[string]bool) string
}

func specsOf(platform evidence.Platform) []spec {
	switch platform {
	case evidence.Linux:
		return linuxSpecs()
	case evidence.Darwin:
		return darwinSpecs()
	case evidence.Windows:
		return windowsSpecs()
	}
	return nil
}

// first is the rule that the first of some sources makes others needless.
func first(names ...string) func(*Capabilities, map[string]bool) string {
	return func(_ *Capabilities, on map[string]bool) string {
		for _, name := range names {
			if on[name] {
				return name
			}
		}
		return ""
	}
}

func events(name string, f feed, n needs) spec {
	n.table = f.table
	return spec{name: name, feed: &f, needs: n}
}

func shots(name string, s snapshot, n needs) spec {
	n.table = s.table
	return spec{name: name, snapshot: &s, needs: n, slow: true}
}

const (
	noEvents = "--disable_events=false"

	auditFlags = "--disable_audit=false --audit_allow_config=true --audit_allow_process_events=true " + noEvents
	auditAlive = "it needs root (CAP_AUDIT_CONTROL, CAP_AUDIT_READ), the host's own namespaces, and no auditd beside it"
	bsmAlive   = "it needs root and /dev/auditpipe; since macOS 14 also the file /etc/security/audit_control (copy audit_control.example) and a restart"
	anyOsquery = "use an osquery of version 5 or later, without --disable_tables for it"
)

func auditNeeds(allow, what string) needs {
	flags := "--disable_audit=false --audit_allow_config=true --" + allow + "=true " + noEvents
	return needs{
		what: what, publisher: "audit", remedy: "start osqueryd with " + flags, alive: auditAlive, audit: true,
		flags:     []flag{{"disable_events", false}, {"disable_audit", false}, {allow, true}},
		elsewhere: "use an osquery built for Linux with its audit tables, started with " + flags,
	}
}

func linuxProcesses() spec {
	n := auditNeeds("audit_allow_process_events", "process auditing")
	n.subscriber = processEvents
	return events(processEvents, auditFeed(), n)
}

func linuxSpecs() []spec {
	bpf := func(what, subscriber string) needs {
		const flags = "--enable_bpf_events=true " + noEvents
		return needs{
			what: what, publisher: "BPF", subscriber: subscriber, remedy: "start osqueryd with " + flags,
			alive: "it needs root (CAP_BPF, CAP_SYS_ADMIN) and a kernel of 4.18 or later",
			flags: []flag{{"disable_events", false}, {"enable_bpf_events", true}},
			// Nothing to be done about: audit does the same and more.
			elsewhere: "osquery has it up to 5.23; turn process_events on: start osqueryd with " + auditFlags,
		}
	}
	bpfProcesses := events(bpfProcessEvents, bpfFeed(), bpf("BPF process tracing", bpfProcessEvents))
	bpfProcesses.instead = first(processEvents)

	socketNeeds := auditNeeds("audit_allow_sockets", "socket auditing")
	socketNeeds.subscriber = socketEvents
	bpfSockets := events(bpfSocketEvents, bpfSocketFeed(), bpf("BPF socket tracing", bpfSocketEvents))
	bpfSockets.instead = first(socketEvents)
	open := shots(openSockets, socketSnapshot(evidence.Linux), needs{elsewhere: anyOsquery})
	open.instead = first(socketEvents, bpfSocketEvents)

	userNeeds := auditNeeds("audit_allow_user_events", "auditing of users")
	userNeeds.subscriber = userEvents
	const syslogFlags = "--enable_syslog=true " + noEvents
	return []spec{
		linuxProcesses(), bpfProcesses,
		events(syslogEvents, syslogFeed(), needs{
			what: "reading of syslog", publisher: "syslog", subscriber: syslogEvents,
			flags:     []flag{{"disable_events", false}, {"enable_syslog", true}},
			remedy:    "start osqueryd with " + syslogFlags + " and let rsyslog write to /var/osquery/syslog_pipe as osquery's documentation shows",
			alive:     "it needs the pipe to itself: no second osqueryd",
			elsewhere: "use an osquery built for Linux, started with " + syslogFlags,
		}),
		events(socketEvents, socketFeed(evidence.Linux), socketNeeds), bpfSockets, open,
		events(userEvents, userFeed(evidence.Linux), userNeeds),
		slow(events(lastTable, lastFeed(evidence.Linux), needs{elsewhere: anyOsquery})),
		shots(loggedInUsers, sessionSnapshot(evidence.Linux), needs{elsewhere: anyOsquery}),
	}
}

func slow(s spec) spec {
	s.slow = true
	return s
}

func darwinSpecs() []spec {
	const esFlags = "--disable_endpointsecurity=false " + noEvents
	bsm := func(allow, what, subscriber string) needs {
		flags := "--disable_audit=false --audit_allow_config=true --" + allow + "=true " + noEvents
		return needs{
			what: what, publisher: "OpenBSM", subscriber: subscriber, remedy: "start osqueryd with " + flags, alive: bsmAlive,
			flags:     []flag{{"disable_events", false}, {"disable_audit", false}, {allow, true}},
			elsewhere: "use an osquery built for macOS, started with " + flags,
		}
	}
	processes := events(processEvents, bsmFeed(), bsm("audit_allow_process_events", "process auditing", processEvents))
	processes.instead = first(esProcessEvents)
	open := shots(openSockets, socketSnapshot(evidence.Darwin), needs{elsewhere: anyOsquery})
	open.instead = first(socketEvents)
	return []spec{
		events(esProcessEvents, esFeed(), needs{
			what: "Endpoint Security", publisher: "Endpoint Security", subscriber: esProcessEvents,
			flags:     []flag{{"disable_events", false}, {"disable_endpointsecurity", false}},
			remedy:    "start osqueryd with " + esFlags,
			alive:     "it needs root, osquery's signed application and Full Disk Access for it (a PPPC profile with SystemPolicyAllFiles)",
			elsewhere: "use osquery 5 for macOS 10.15 or later, started with " + esFlags,
		}),
		processes,
		shots(launchdTable, launchdSnapshot(), needs{elsewhere: anyOsquery}),
		events(socketEvents, socketFeed(evidence.Darwin), bsm("audit_allow_sockets", "socket auditing", socketEvents)), open,
		events(userEvents, userFeed(evidence.Darwin), bsm("audit_allow_user_events", "auditing of users", userEvents)),
		slow(events(lastTable, lastFeed(evidence.Darwin), needs{elsewhere: anyOsquery})),
		shots(loggedInUsers, sessionSnapshot(evidence.Darwin), needs{elsewhere: anyOsquery}),
	}
}

// The sources that read windows_eventlog are named for what they read of it.
const (
	logSysmon      = "windows_eventlog_sysmon"
	logProcesses   = "windows_eventlog_4688"
	logPowershell  = "windows_eventlog_powershell"
	logSystem      = "windows_eventlog_system"
	logSecurity    = "windows_eventlog_security"
	logConnections = "windows_eventlog_5156"
	logInstaller   = "windows_eventlog_application"
	logSetup       = "windows_eventlog_setup"
	logSessions    = "windows_eventlog_terminal"
)

func windowsSpecs() []spec {
	const (
		etwFlags        = "--enable_process_etw_events=true " + noEvents
		winFlags        = "--enable_windows_events_publisher=true --enable_windows_events_subscriber=true " + noEvents
		powershellFlags = "--enable_windows_events_publisher=true --enable_powershell_events_subscriber=true " + noEvents
		reach           = "run osqueryd as SYSTEM"
		scripts         = "turn on the policy 'Turn on PowerShell Script Block Logging'"
		older           = "use an osquery built for Windows, of version 5 or later"
	)
	log := func(name string, q logQuery, lookback int64, every time.Duration, n needs) spec {
		n.elsewhere = older
		return slow(events(name, logFeed(name, q, lookback, every), n))
	}
	// covered is the rule that windows_events makes the reading of a channel needless.
	covered := func(channel string, others ...string) func(*Capabilities, map[string]bool) string {
		return func(caps *Capabilities, on map[string]bool) string {
			if better := first(others...)(caps, on); better != "" {
				return better
			}
			if on[windowsEvents] && channels(caps)[strings.ToLower(channel)] {
				return windowsEvents
			}
			return ""
		}
	}

	etw := events(etwProcessEvents, etwFeed(), needs{
		what: "process tracing", publisher: "ETW process", subscriber: etwProcessEvents,
		flags:     []flag{{"disable_events", false}, {"enable_process_etw_events", true}},
		remedy:    "start osqueryd with " + etwFlags,
		alive:     "it needs SYSTEM and a free ETW session (logman query -ets)",
		elsewhere: "use osquery 5.8 or later for Windows, started with " + etwFlags,
	})

	winFeed := eventFeed(feed{
		table:   windowsEvents,
		columns: []string{"time", "eid", "datetime", "source", "provider_name", "computer_name", "eventid", "data"},
		key:     []string{"eid", "time", "datetime", "data"},
		where: func(caps *Capabilities) []squirrel.Sqlizer {
			return []squirrel.Sqlizer{wanted(caps, !caps.EventsActive(etwProcessEvents))}
		},
		mapper: func(*Capabilities) mapper { return &eventMapper{source: windowsEvents} },
	})
	win := events(windowsEvents, winFeed, needs{
		what: "subscription to event logs", publisher: "Windows event log", subscriber: windowsEvents,
		flags:     []flag{{"disable_events", false}, {"enable_windows_events_publisher", true}, {"enable_windows_events_subscriber", true}},
		remedy:    "start osqueryd with " + winFlags + " (windows_eventlog is read instead, which costs osquery more)",
		alive:     reach,
		elsewhere: older + ", started with " + winFlags,
	})

	sysmon := log(logSysmon, logQuery{channel: winevent.Sysmon, ids: sysmonIDs()}, maxLookback, 10*time.Second, needs{
		log:    Log{Channel: winevent.Sysmon},
		silent: "the log " + winevent.Sysmon + " has no records: Sysmon is not installed, or osquery may not read them",
		enable: "install Sysmon (ids 1, 3, 12 and 13 are read) and " + reach,
	})
	sysmon.instead = covered(winevent.Sysmon)
	sysmon.asks = []Log{sysmonNetwork}

	processes := log(logProcesses, logQuery{channel: winevent.Security, ids: []int64{winevent.ProcessCreated}}, maxLookback, 10*time.Second, needs{
		log:    Log{Channel: winevent.Security, ID: winevent.ProcessCreated},
		silent: "the log Security has no event 4688 of the last day: the audit policy leaves process creation out, or osquery may not read it",
		enable: `auditpol /set /subcategory:"Process Creation" /success:enable, the policy 'Include command line in process creation events', and ` + reach +
			"; or start osqueryd with " + etwFlags,
	})
	processes.instead = covered(winevent.Security, etwProcessEvents, logSysmon)

	powershell := events(powershellEvents, powershellFeed(), needs{
		what: "collection of PowerShell's script blocks", publisher: "Windows event log", subscriber: powershellEvents,
		flags:     []flag{{"disable_events", false}, {"enable_windows_events_publisher", true}, {"enable_powershell_events_subscriber", true}},
		remedy:    "start osqueryd with " + powershellFlags + ", and " + scripts,
		alive:     reach,
		elsewhere: older + ", started with " + powershellFlags,
	})
	powershellLog := log(logPowershell, logQuery{channel: winevent.PowerShell, ids: []int64{winevent.ScriptBlock}}, maxLookback, 20*time.Second, needs{
		log:    Log{Channel: winevent.PowerShell, ID: winevent.ScriptBlock},
		silent: "the log " + winevent.PowerShell + " has no event 4104 of the last day: script blocks are not logged, or osquery may not read them",
		enable: scripts + ", and " + reach,
	})
	powershellLog.instead = covered(winevent.PowerShell, powershellEvents)

	system := log(logSystem, logQuery{channel: winevent.System, ids: systemIDs()}, logLookback, 20*time.Second, needs{
		log: Log{Channel: winevent.System}, silent: "the log System has no records that osquery may read", enable: reach,
	})
	system.instead = covered(winevent.System)

	security := log(logSecurity, logQuery{channel: winevent.Security, ids: securityIDs()}, logLookback, 30*time.Second, needs{
		log: Log{Channel: winevent.Security}, silent: "the log Security has no records that osquery may read",
		enable: reach + `; for 4697 also auditpol /set /subcategory:"Security System Extension" /success:enable`,
	})
	security.instead = covered(winevent.Security)

	connections := log(logConnections, logQuery{
		channel: winevent.Security, ids: []int64{winevent.Connection}, data: []datum{{"Direction", "%%14593"}},
		but: []datum{{"DestAddress", "127.0.0.1"}, {"DestAddress", "::1"}},
	}, maxLookback, 30*time.Second, needs{
		log:    Log{Channel: winevent.Security, ID: winevent.Connection},
		silent: "the log Security has no event 5156 of the last day",
		enable: "Sysmon's event 3 is the better way; or auditpol /set /subcategory:\"Filtering Platform Connection\" /success:enable, which fills the log quickly",
	})
	connections.instead = func(caps *Capabilities, _ map[string]bool) string { return sysmonConnections(caps) }

	// What changes slowly is asked for slowly.
	slower := func(name, channel string, ids []int64) spec {
		s := log(name, logQuery{channel: channel, ids: ids}, logLookback, time.Minute, needs{
			log: Log{Channel: channel}, silent: "the log " + channel + " has no records that osquery may read", enable: reach,
		})
		s.instead = covered(channel)
		return s
	}

	open := shots(openSockets, socketSnapshot(evidence.Windows), needs{elsewhere: older})
	open.instead = func(caps *Capabilities, on map[string]bool) string {
		if better := sysmonConnections(caps); better != "" {
			return better
		}
		return first(logConnections)(caps, on)
	}

	return []spec{
		etw, win, sysmon, processes, powershell, powershellLog,
		system, security,
		slower(logInstaller, winevent.Application, winevent.InstallerIDs()), slower(logSetup, winevent.Setup, []int64{winevent.PackageState}),
		slower(logSessions, winevent.Terminal, terminalIDs()),
		shots(servicesTable, serviceSnapshot(), needs{elsewhere: older}),
		connections, open,
		shots(loggedInUsers, sessionSnapshot(evidence.Windows), needs{elsewhere: older}),
		shots(patchesTable, patchSnapshot(), needs{elsewhere: older}),
	}
}

// sysmonNetwork are Sysmon's events of connections.
var sysmonNetwork = Log{Channel: winevent.Sysmon, ID: winevent.SysmonConnection}

// sysmonConnections is who reads Sysmon's event 3, where Sysmon writes it: it does
// not by default.
func sysmonConnections(caps *Capabilities) string {
	if !caps.Logs[sysmonNetwork] {
		return ""
	}
	if caps.EventsActive(windowsEvents) && channels(caps)[strings.ToLower(winevent.Sysmon)] {
		return windowsEvents
	}
	return logSysmon
}
