package files

import (
	"strconv"
	"strings"

	"github.com/osquery-rollcall/rollcall/extension/evidence"
	"github.com/osquery-rollcall/rollcall/extension/source/files/fieldmap"
	"github.com/osquery-rollcall/rollcall/extension/source/winevent"
)

// KindWindows is an event of Windows' event logs in JSON or XML, as collectors,
// converters and Windows itself write it.
const KindWindows = "windows_events"

// windowsEvent finds the parts of a Windows event in an object:
//
//	{"Event": {"System": {...}, "EventData": {...}}}, with or without "Event": converters of .evtx files, Velociraptor
//	{"winlog": {"event_id", "provider_name", "event_data"}}: Winlogbeat and Elastic Agent, where nothing was normalised
//	{"EventID", "Channel", "Hostname", and the event's values}: NXLog and other forwarders
//	{"eventid", "provider_name", "computer_name", "data"}: rows of osquery's windows_events and windows_eventlog
func windowsEvent(o fieldmap.Object) (*winevent.Event, bool) {
	if inner, ok := o["Event"].(fieldmap.Object); ok {
		o = inner
	}
	var e *winevent.Event
	if system, ok := o["System"].(fieldmap.Object); ok {
		e = systemEvent(o, system)
	} else if winlog, ok := o["winlog"].(fieldmap.Object); ok {
		e = winlogEvent(o, winlog)
	} else if o["EventID"] != nil {
		e = flatEvent(o)
	} else {
		return nil, false
	}
	if e.Provider == "" {
		e.Provider = providerOf(e.Channel, e.ID)
	}
	return e, e.Provider != "" && e.ID > 0
}

// systemEvent reads the form of the events' own XML.
func systemEvent(o, system fieldmap.Object) *winevent.Event {
	e := &winevent.Event{
		Provider: attribute(system["Provider"], "Name"), ID: number(inner(system["EventID"])), Host: text(system["Computer"]),
		Channel: text(system["Channel"]), PID: number(attribute(system["Execution"], "ProcessID")), UID: attribute(system["Security"], "UserID"),
		EID: text(system["EventRecordID"]), Source: KindWindows, Data: map[string]string{},
	}
	e.Time, _ = fieldmap.Time(attribute(system["TimeCreated"], "SystemTime"))
	if e.Time == 0 {
		e.Time, _ = fieldmap.Time(attribute(system["TimeCreated_attributes"], "SystemTime"))
	}
	if e.Provider == "" {
		e.Provider = attribute(system["Provider_attributes"], "Name")
	}
	for _, k := range []string{"EventData", "UserData"} {
		values(e.Data, "", o[k], 0)
	}
	return e
}

func winlogEvent(o, winlog fieldmap.Object) *winevent.Event {
	e := &winevent.Event{
		Provider: text(winlog["provider_name"]), ID: number(winlog["event_id"]), Host: text(winlog["computer_name"]), Channel: text(winlog["channel"]),
		EID: text(winlog["record_id"]), Source: KindWindows, Data: map[string]string{},
	}
	if process, ok := winlog["process"].(fieldmap.Object); ok {
		e.PID = number(process["pid"])
	}
	if user, ok := winlog["user"].(fieldmap.Object); ok {
		e.UID = text(user["identifier"])
	}
	if e.ID == 0 {
		if event, ok := o["event"].(fieldmap.Object); ok {
			e.ID = number(event["code"])
		}
	}
	e.Time, _ = fieldmap.Time(text(o["@timestamp"]))
	for _, k := range []string{"event_data", "user_data"} {
		values(e.Data, "", winlog[k], 0)
	}
	return e
}

// flatTimes are the keys of a flat event's time, the best first.
var flatTimes = []string{"TimeCreated", "SystemTime", "@timestamp", "EventTime", "UtcTime", "TimeGenerated"}

// flatEvent reads an event whose values lie beside what the event's header says.
func flatEvent(o fieldmap.Object) *winevent.Event {
	first := func(keys ...string) string {
		for _, k := range keys {
			if s := text(o[k]); s != "" {
				return s
			}
		}
		return ""
	}
	e := &winevent.Event{
		Provider: first("SourceName", "ProviderName", "Provider_Name", "Provider", "EventSourceName"), ID: number(inner(o["EventID"])), Host: first("Hostname", "Computer", "ComputerName", "host"),
		Channel: first("Channel", "LogName"), EID: first("RecordNumber", "EventRecordID", "RecordId"), Source: KindWindows, Data: map[string]string{},
	}
	for _, k := range flatTimes {
		if t, ok := fieldmap.Time(text(o[k])); ok && t > 0 {
			e.Time = t
			break
		}
	}
	if data, ok := o["EventData"].(fieldmap.Object); ok {
		values(e.Data, "", data, 0)
	} else {
		values(e.Data, "", o, 0)
	}
	return e
}

// providerOf is who writes the events of an id in a channel, of those that are
// read; empty for others. Without a channel the id tells where it is no other's.
func providerOf(channel string, id int64) string {
	switch channel {
	case "":
		switch id {
		case winevent.ProcessCreated, winevent.ServiceAdded:
			return winevent.ProviderSecurity
		case winevent.ServiceNew, winevent.StartChanged:
			return winevent.ProviderSCM
		}
	case winevent.Security:
		if id == winevent.AuditCleared {
			return winevent.ProviderEventLog
		}
		return winevent.ProviderSecurity
	case winevent.System:
		if id == winevent.ServiceNew || id == winevent.StartChanged {
			return winevent.ProviderSCM
		}
	case winevent.Sysmon:
		return winevent.ProviderSysmon
	case winevent.PowerShell:
		return winevent.ProviderPowerShell
	case winevent.Terminal:
		return winevent.ProviderTerminal
	}
	return ""
}

// windowsRow reads a row of osquery's windows_events or windows_eventlog.
func windowsRow(row fieldmap.Object, about fieldmap.About) (*winevent.Event, bool) {
	for _, k := range []string{"provider_name", "eventid", "data"} {
		if _, ok := row[k].(string); !ok {
			return nil, false
		}
	}
	data, err := winevent.ParseData(text(row["data"]))
	if err != nil {
		return nil, false
	}
	e := &winevent.Event{Provider: text(row["provider_name"]), ID: number(row["eventid"]), Time: about.Time, Host: text(row["computer_name"]),
		Channel: text(row["channel"]), Data: data, Source: KindOsquery, EID: text(row["eid"])}
	if e.Channel == "" {
		e.Channel = text(row["source"])
	}
	if e.Host == "" {
		e.Host = about.Host
	}
	if t, ok := winevent.ParseTime(text(row["datetime"])); ok {
		e.Time = t
	}
	return e, e.ID > 0
}

// The bounds of an event's values.
const (
	maxValues     = 512
	maxValueDepth = 4
)

// values puts the values of an event into out by their names: objects, and lists of
// {"Name": ..., "#text": ...} however the attribute is spelled.
func values(out map[string]string, name string, v any, depth int) {
	if depth > maxValueDepth || len(out) >= maxValues {
		return
	}
	put := func(name, s string) {
		if _, twice := out[name]; !twice {
			out[name] = s
		}
	}
	switch v := v.(type) {
	case fieldmap.Object:
		if own := attribute(v, "Name"); own != "" && (v["#text"] != nil || v["Value"] != nil || len(v) == 1) {
			put(own, text(inner(v)))
			return
		}
		for k, one := range v {
			if !strings.HasPrefix(k, "#attributes") && !strings.HasPrefix(k, "@xmlns") {
				values(out, k, one, depth+1)
			}
		}
	case []any:
		for i, one := range v {
			if s := text(one); s != "" {
				put(strconv.Itoa(i), s)
				continue
			}
			values(out, strconv.Itoa(i), one, depth+1)
		}
	default:
		put(name, text(v))
	}
}

// inner is the text of an element that has attributes too, or the value itself.
func inner(v any) any {
	o, ok := v.(fieldmap.Object)
	if !ok {
		return v
	}
	for _, k := range []string{"#text", "Value", "_"} {
		if o[k] != nil {
			return o[k]
		}
	}
	return nil
}

// attribute is an attribute of an element, however a converter spelled it.
func attribute(v any, name string) string {
	o, ok := v.(fieldmap.Object)
	if !ok {
		return ""
	}
	if a, ok := o["#attributes"].(fieldmap.Object); ok {
		o = a
	}
	for _, k := range []string{name, "@" + name, "_" + name} {
		if s := text(o[k]); s != "" {
			return s
		}
	}
	return ""
}

// event reads a Windows event and reports whether the object is one.
func (d *jsonDecoder) event(o fieldmap.Object, to *evidence.Batch) bool {
	e, ok := windowsEvent(o)
	if !ok {
		return false
	}
	d.windows.Whole = true
	d.windows.Read(e, to)
	return true
}
